"""Who came back since the step before: Clerk's answer to the revocation of its link, and the user's activity."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from campaign.clerk.client import Clerk
from campaign.delivery.attempt import Attempt
from campaign.delivery.come_back import ComeBack
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.delivery.revoker import TokenRevoker
from campaign.delivery.user_directory import UserDirectory
from campaign.errors import CampaignError, DeferredError, PermanentError, Scope, TransientError
from campaign.model import Outcome, Rate, Revocation, Status, Waiting
from campaign.sendlog import QueueCursor
from support.fake_clock import FakeClock
from support.sendlog_helpers import enlist, opened, person, table
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import Answer, ClerkScript, Users, refusal
from support.servers.script import Drop, Fault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from campaign.sendlog import SendLog

ADA = person(1)._replace(user_id="user_ada", email="ada@example.com")
BOTH = ("link used", "active")
LIFE = timedelta(days=2)
DAY = 86_400.0


class SecondStep:
    """A recipient whose first step was sent with a real token, before the second one's token is asked for."""

    def __init__(self, folder: Path, *faults: Fault, users: Users | None = None) -> None:
        self._path = folder / "send-log.db"
        self._script = ClerkScript(users=users or Users(address="ada@example.com"), faults=faults)
        #: What became of each try: None if the second step goes on.
        self.outcomes: list[CampaignError | None] = []

    def judge(
        self,
        *,
        unless: Sequence[str] = BOTH,
        used: bool = False,
        after: float = 3600.0,
        seen: dict[str, float] | None = None,
        tries: int = 1,
        cap: str | None = None,
    ) -> list[CampaignError | None]:
        """Judge the second step some seconds after the first was sent; `seen` are seconds since the first step.

        Args:
            unless: which signs count.
            used: the first step's link was used; Clerk then shows the sign-in only with `seen`.
            after: seconds from the first step to the second.
            seen: when the user was seen, by Clerk's names.
            tries: how often the second step is tried, each time after an hour.
            cap: how many mails one address may get.
        """
        clock = FakeClock()
        with ClerkServer(self._script) as server, opened(self._path, clock=clock) as log:
            log.note_cap(Rate.parse(cap) if cap else None)
            enlist(log, [ADA], steps=("first", "second"))

            async def run() -> None:
                async with log, Clerk(server.url, "sk_test_" + "k" * 40) as clerk:
                    token_id = await self._send_first(log, clerk)
                    begun = clock.now()
                    if used:
                        assert server.use(token_id)
                    server.see("user_ada", **{name: begun + at for name, at in (seen or {}).items()})
                    clock.jump(after)
                    await self._try_second(log, clerk, clock, unless, tries)

            asyncio.run(run())
            self.calls = [event["stage"] for event in server.events("request")]
            self.revoked = len(server.events("revoked"))
        return self.outcomes

    async def _send_first(self, log: SendLog, clerk: Clerk) -> str:
        (row,) = await log.claim(10, QueueCursor())
        row = await log.issuing(row, user_id="user_ada", expires_in=LIFE)
        token = await clerk.create_sign_in_token("user_ada", expires_in=LIFE)
        await log.issued(row, token)
        await log.sending(row, message_id="<1@acme.example>", server="mail", with_token=True)
        await log.settle(row, Outcome(Status.SENT))
        return token.id

    async def _try_second(
        self, log: SendLog, clerk: Clerk, clock: FakeClock, unless: Sequence[str], tries: int
    ) -> None:
        limiter = RateLimiter((), clock)
        policy = RetryPolicy(first_delay=timedelta(seconds=30))
        revoker = TokenRevoker(log, clerk, limiter, Backoff(policy), clock)
        users = UserDirectory(clerk, limiter, by_address=False, clock=clock)
        back = ComeBack(log, revoker, users, lifetimes={"first": LIFE}, clock=clock)
        running = asyncio.ensure_future(revoker.run())  # noqa: TID251 - as `Pipeline.run` does
        (row,) = await log.claim(10, QueueCursor())
        for _ in range(tries):
            earlier = (await log.earlier_steps([row.id]))[row.id]
            try:
                await back.raise_if_back(Attempt(row), earlier, unless)
                self.outcomes.append(None)
            except CampaignError as error:
                self.outcomes.append(error)
            await clock.advance(3600.0)
        revoker.finish()
        await running

    @property
    def revocations(self) -> list[dict[str, Any]]:
        """The revocations in the log."""
        return table(self._path, "SELECT outcome, unanswered FROM revocation")


def reason(outcomes: list[CampaignError | None]) -> str:
    """Return why the sequence ends, of one try."""
    (error,) = outcomes
    assert isinstance(error, PermanentError)
    assert error.skip
    assert error.ends_sequence
    return error.reason


def test_an_unused_link_is_revoked_and_the_step_goes_on(tmp_path: Path) -> None:
    """Before a step's token is asked for, the link of the step before is revoked: a person has one live link."""
    step = SecondStep(tmp_path)
    assert step.judge() == [None]
    assert step.revoked == 1
    assert [row["outcome"] for row in step.revocations] == [Revocation.REVOKED]


def test_a_used_link_ends_the_sequence(tmp_path: Path) -> None:
    """Clerk's answer that the link was used means that its person signed in."""
    step = SecondStep(tmp_path)
    assert reason(step.judge(used=True)) == "link used"
    assert step.revoked == 0


def test_a_used_link_counts_only_if_it_is_asked_for(tmp_path: Path) -> None:
    """Without `link used` no link is revoked, and with no sign at all Clerk is not asked."""
    step = SecondStep(tmp_path)
    assert step.judge(unless=("active",), used=True) == [None]
    assert "revoke" not in step.calls
    (tmp_path / "other").mkdir()
    other = SecondStep(tmp_path / "other")
    assert other.judge(unless=(), used=True) == [None]
    assert other.calls == ["create"]


@pytest.mark.parametrize("sign", ["last_sign_in_at", "last_active_at"])
def test_activity_since_the_step_before_ends_the_sequence(tmp_path: Path, sign: str) -> None:
    """A sign-in or activity after the step before was sent counts, and one before it does not."""
    assert reason(SecondStep(tmp_path).judge(seen={sign: 60.0})) == "active since step first"
    (tmp_path / "before").mkdir()
    assert SecondStep(tmp_path / "before").judge(seen={sign: -60.0}) == [None]


@pytest.mark.parametrize("lost", [Drop(), Drop(done=True), Answer(502, "oops", done=True)], ids=["no", "done", "502"])
def test_a_lost_answer_is_doubt_and_is_asked_again(tmp_path: Path, lost: Drop | Answer) -> None:
    """The row is tried again; Clerk's 400 after a lost try is no proof that the link was used."""
    step = SecondStep(tmp_path, Fault("revoke", lost, times=1))
    first, second = step.judge(tries=2)
    assert isinstance(first, TransientError)
    assert (first.scope, first.maybe_applied) == (Scope.CLERK, False)
    assert second is None
    assert step.revoked == 1


def test_after_a_lost_answer_activity_decides(tmp_path: Path) -> None:
    """A link that was used, but whose revocation's first answer was lost, shows as a sign-in."""
    step = SecondStep(tmp_path, Fault("revoke", Drop(done=True), times=1))
    first, second = step.judge(tries=2, used=True, seen={"last_sign_in_at": 60.0})
    assert isinstance(first, TransientError)
    assert isinstance(second, PermanentError)
    assert second.reason == "active since step first"


def test_an_expired_link_is_not_read_as_used(tmp_path: Path) -> None:
    """After the link's end Clerk's 400 counts only together with a sign-in since the step; a plain 200 goes on."""
    folders = [tmp_path / name for name in ("pending", "refused", "used")]
    for folder in folders:
        folder.mkdir()
    pending, refused, used = folders
    assert SecondStep(pending).judge(after=3 * DAY) == [None]
    gone = Fault("revoke", refusal(400, "sign_in_token_cannot_be_revoked_code"))
    assert SecondStep(refused, gone).judge(after=3 * DAY) == [None]
    assert reason(SecondStep(used).judge(after=3 * DAY, used=True, seen={"last_sign_in_at": DAY})) == "link used"


def test_who_gets_no_new_link_keeps_the_old_one(tmp_path: Path) -> None:
    """A banned user and an address that had its share of mails do not lose the link of the step before."""
    banned = SecondStep(tmp_path, users=Users(address="ada@example.com", banned=("user_ada",)))
    (error,) = banned.judge()
    assert isinstance(error, PermanentError)
    assert not error.ends_sequence
    assert "revoke" not in banned.calls
    (tmp_path / "capped").mkdir()
    capped = SecondStep(tmp_path / "capped")
    (error,) = capped.judge(cap="1/week")
    assert isinstance(error, DeferredError)
    assert error.waiting is Waiting.CAP
    assert capped.revocations == []


def test_a_clerk_that_cannot_be_reached_changes_nothing(tmp_path: Path) -> None:
    """Without the look-up nothing is revoked, and nothing is known."""
    step = SecondStep(tmp_path, Fault("users", Answer(500, "oops"), times=1))
    first, second = step.judge(tries=2)
    assert isinstance(first, TransientError)
    assert second is None
    assert step.calls == ["create", "users", "users", "revoke"]
