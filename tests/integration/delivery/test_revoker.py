"""The token revoker: a revocation is requested until Clerk has answered it, and is never lost in between."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from campaign.clerk.client import Clerk
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.delivery.revoker import TokenRevoker
from campaign.errors import ServiceRefusesError
from campaign.model import Outcome, Revocation, SignInToken, Status
from campaign.sendlog import QueueCursor
from support.fake_clock import FakeClock
from support.sendlog_helpers import TWO_DAYS, bring, enlist, opened, people, table, working
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import Answer, ClerkScript, Used, refusal
from support.servers.script import Drop, Fault, Reset

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.model import Delivery
    from campaign.sendlog import SendLog
    from support.servers.script import Action

POLICY = RetryPolicy(first_delay=timedelta(seconds=30))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


class Revoking:
    """A log with `number` tokens to be revoked, and a Clerk that made them."""

    def __init__(self, path: Path, *faults: Fault, number: int = 30) -> None:
        self._path = path
        self._number = number
        self._script = ClerkScript(faults=faults)
        self.waits: list[float | None] = []
        self.settled: Counter[Revocation] = Counter()
        self.calls: list[str] = []

    def run(self, times: int = 1, *, unknown: int = 0, held: float = 0.0) -> None:
        """Settle everything `times` times, first in a pause of `held` seconds; Clerk does not know `unknown` tokens."""
        with ClerkServer(self._script) as server, opened(self._path, clock=FakeClock()) as log:
            enlist(log, people(self._number))
            asyncio.run(self._run(server, log, times, unknown, held))
            self.calls = [event["stage"] for event in server.events("request")]

    async def _run(self, server: ClerkServer, log: SendLog, times: int, unknown: int, held: float) -> None:
        async with log, Clerk(server.url, "sk_test_" + "k" * 40) as clerk:
            clock = FakeClock()
            for number, row in enumerate(await log.claim(self._number, QueueCursor())):
                delivery = await log.issuing(row, user_id="user_ada", expires_in=TWO_DAYS)
                token = await clerk.create_sign_in_token("user_ada", expires_in=TWO_DAYS)
                if number < unknown:
                    token = SignInToken(f"sit_unknown_{number}", "t", "user_ada")
                await log.issued(delivery, token)
                await log.settle(delivery, Outcome(Status.FAILED, "refused"), revoke=token)
            limiter = RateLimiter([], clock)
            limiter.pause(held)
            revoker = TokenRevoker(log, clerk, limiter, Backoff(POLICY), clock)
            try:
                for _ in range(times):
                    self.waits.append(await revoker.settle_all())
                    clock.jump(3600.0)
            finally:
                self.settled = revoker.settled

    @property
    def pending(self) -> int:
        """The number of revocations that are still open in the log."""
        return sum(row["settled_at"] is None for row in table(self._path, "SELECT settled_at FROM revocation"))


def test_each_answer_settles_a_revocation(path: Path) -> None:
    """Revoked, already used, and unknown each settle a revocation, so each is requested only once."""
    revoking = Revoking(path, Fault("revoke", Used(), to="user_*", times=3))
    revoking.run(unknown=2)
    assert revoking.waits == [None]
    assert revoking.settled == {Revocation.REVOKED: 25, Revocation.USED: 3, Revocation.UNKNOWN: 2}
    assert revoking.pending == 0
    assert revoking.calls.count("revoke") == 30
    outcomes = Counter(row["outcome"] for row in table(path, "SELECT outcome FROM revocation"))
    assert outcomes == {"revoked": 25, "used": 3, "unknown": 2}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("revoke", Answer(500, "oops"), times=1),
        Fault("revoke", Answer(503, "", done=True), times=1),
        Fault("revoke", Drop(), times=1),
        Fault("revoke", Reset(done=True), times=1),
        Fault("revoke", refusal(429, "too_many_requests"), times=1),
    ],
    ids=str,
)
def test_a_revocation_without_an_answer_is_kept(path: Path, fault: Fault) -> None:
    """A revocation without an answer stays in the log, Clerk is paused, and the next try settles it."""
    revoking = Revoking(path, fault)
    revoking.run(times=2)
    first, second = revoking.waits
    assert first is not None
    assert 30 <= first <= 36
    assert second is None
    assert sum(revoking.settled.values()) == 30
    assert revoking.pending == 0


@pytest.mark.parametrize(
    ("first", "settled"),
    [
        (Drop(done=True), Revocation.UNKNOWN),
        (Answer(500, "oops"), Revocation.UNKNOWN),
        (Answer(202, ""), Revocation.UNKNOWN),
        (refusal(429, "too_many_requests"), Revocation.USED),
        (refusal(409, "conflict"), Revocation.USED),
    ],
    ids=["lost", "500", "202", "429", "409"],
)
def test_a_dead_token_is_used_only_if_no_try_of_ours_may_have_ended_it(
    path: Path, first: Action, settled: Revocation
) -> None:
    """A 400 means a sign-in if Clerk refused the earlier try, and proves nothing if the earlier try had no answer."""
    faults = (
        Fault("revoke", first, times=1),
        Fault("revoke", refusal(429, "once_more"), times=1),
        Fault("revoke", Used()),
    )
    revoking = Revoking(path, *faults, number=1)
    revoking.run(times=3)
    assert revoking.settled == {settled: 1}


def test_a_try_that_was_not_made_counts_for_nothing(path: Path) -> None:
    """While Clerk is paused or cannot be reached no try is made, so a dead token must have been used."""
    revoking = Revoking(path, Fault("revoke", Used()), number=1)
    revoking.run(times=2, held=60.0)
    assert revoking.waits == [60.0, None]
    assert revoking.settled == {Revocation.USED: 1}


def test_a_run_that_was_killed_amid_a_revocation_may_have_ended_the_token(path: Path) -> None:
    """A try is recorded before its call, so a token that a killed run may have revoked raises no alarm."""

    async def be_killed(_: list[Delivery]) -> None:
        assert await log.try_revocations(2) == [("sit_1_1", False), ("sit_2_1", False)]

    async def look(_: list[Delivery]) -> None:
        assert await log.try_revocations(3) == [("sit_1_1", True), ("sit_2_1", True), ("sit_3_1", False)]

    with opened(path) as log:
        enlist(log, people(3))
        working(log, lambda rows: _fail_all(log, rows))
        working(log, be_killed)
    with opened(path) as log:
        working(log, look)


async def _fail_all(log: SendLog, rows: list[Delivery]) -> None:
    for row in rows:
        await bring(log, row, Status.FAILED)


def test_clerk_says_how_long_to_wait(path: Path) -> None:
    """A `Retry-After` decides how long to wait, whatever else failed at the same time."""
    both = (
        Fault("revoke", Answer(500, "oops"), times=3),
        Fault("revoke", refusal(429, "too_many_requests", retry_after=120), times=1),
    )
    revoking = Revoking(path, *both)
    revoking.run()
    assert revoking.waits == [120.0]
    assert revoking.pending > 0


def test_a_lasting_silence_is_waited_for_longer_each_time(path: Path) -> None:
    """As long as Clerk does not answer, each wait is twice the one before, and no revocation is settled."""
    revoking = Revoking(path, Fault("revoke", Answer(500, "oops")))
    revoking.run(times=4)
    assert all(30 * 2**n <= (wait or 0) <= 36 * 2**n for n, wait in enumerate(revoking.waits))
    assert revoking.pending == 30


def test_a_refused_key_ends_it(path: Path) -> None:
    """A refused key raises an error, and the open revocations stay in the log."""
    revoking = Revoking(path, Fault("revoke", refusal(401, "clerk_key_invalid")))
    with pytest.raises(ServiceRefusesError):
        revoking.run()
    assert revoking.pending == 30
