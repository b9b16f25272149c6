"""Making Clerk users for the entries of a waitlist: each at most once, whatever becomes of Clerk's answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import pytest

from campaign.clerk.client import Clerk
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.waitlist_users import NO_USER, WaitlistUsers
from campaign.errors import CampaignError, DeferredError, PermanentError, Scope, ServiceRefusesError, TransientError
from campaign.sendlog import QueueCursor
from support.fake_clock import FakeClock
from support.sendlog_helpers import enlist, opened, person, table
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import Answer, Change, ClerkScript, Truncate, Users, refusal
from support.servers.script import Drop, Fault, Reset

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from support.servers.script import Action


class Waiting:
    """People on Clerk's waitlist, none of whom is a user, and a log that has them as recipients."""

    def __init__(self, folder: Path, *faults: Fault, users: Users | None = None, people: int = 1) -> None:
        lines = [f"user_{number},u{number}@example.com" for number in range(1, people + 1)]
        csv = folder / "people.csv"
        csv.write_text("\n".join(["user_id,email", *lines]) + "\n", encoding="utf-8")
        listed = replace(users or Users(), csv=str(csv), waitlist=True)
        self.server = ClerkServer(ClerkScript(users=listed, faults=faults))
        self.clock = FakeClock()
        self._people = [person(number)._replace(user_id=None) for number in range(1, people + 1)]
        self._path = folder / "send-log.db"

    def __enter__(self) -> Self:
        """Start the server."""
        self.server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.server.__exit__(kind, error, trace)

    def ask(self, *, makes_users: bool = True, campaign: str = "trial") -> list[str | CampaignError]:
        """Ask for the user of each person as a new run does; return their ids, or the errors."""
        found: list[str | CampaignError] = []

        async def run() -> None:
            with opened(self._path, campaign=campaign, clock=self.clock) as log:
                enlist(log, self._people)
                async with log, Clerk(self.server.url, "sk_test_1") as clerk:
                    limiter = RateLimiter((), self.clock)
                    users = WaitlistUsers(clerk, limiter, log, verify=True, makes_users=makes_users, clock=self.clock)
                    for delivery in await log.claim(100, QueueCursor()):
                        try:
                            user = await users.user_for(delivery, raise_if_aborted=lambda: None)
                            found.append(user.id)
                        except CampaignError as error:
                            found.append(error)

        asyncio.run(run())
        return found

    @property
    def asked(self) -> int:
        """How many requests for users Clerk has carried out, or refused because the address is taken."""
        return len(self.server.events("user"))

    @property
    def journal(self) -> list[tuple[object, object]]:
        """What the log has of the users: (outcome, user id)."""
        rows = table(self._path, "SELECT outcome, user_id FROM user_creation ORDER BY address")
        return [(row["outcome"], row["user_id"]) for row in rows]


def test_each_entry_gets_a_user_once(tmp_path: Path) -> None:
    """A user is made for each entry, and the next run finds them."""
    with Waiting(tmp_path, people=3) as waiting:
        assert waiting.ask() == ["user_1", "user_2", "user_3"]
        assert waiting.ask() == ["user_1", "user_2", "user_3"]
        assert waiting.asked == 3
    assert waiting.journal == [("created", "user_1"), ("created", "user_2"), ("created", "user_3")]


def test_who_is_a_user_already_gets_no_other_one(tmp_path: Path) -> None:
    """An entry whose person is a user is that user's."""
    with Waiting(tmp_path, users=Users(already=("user_1",))) as waiting:
        assert waiting.ask() == ["user_1"]
        assert waiting.asked == 0


def test_without_create_users_nobody_is_made(tmp_path: Path) -> None:
    """Without `create_users` an entry without a user is skipped with the reason."""
    with Waiting(tmp_path) as waiting:
        (error,) = waiting.ask(makes_users=False)
        assert waiting.asked == 0
    assert isinstance(error, PermanentError)
    assert (str(error), error.skip) == (NO_USER, True)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Drop(done=True), "found"),
        (Reset(done=True), "found"),
        (Truncate(), "found"),
        (Answer(502, "<html>Bad gateway</html>", done=True), "found"),
        (Answer(200, done=True), "found"),
        (Change(without=("email_addresses",)), "found"),
        (Drop(), "created"),
        (Answer(503), "created"),
    ],
)
def test_a_lost_answer_is_settled_by_a_look_up(fault: Action, outcome: str, tmp_path: Path) -> None:
    """After a lost answer the next try looks the address up: the user is there, or only then asked for again."""
    with Waiting(tmp_path, Fault("user", fault, times=1)) as waiting:
        (error,) = waiting.ask()
        assert isinstance(error, TransientError)
        assert (error.scope, waiting.journal) == (Scope.CLERK, [(None, None)])
        assert waiting.ask() == ["user_1"]
        assert waiting.asked == 1
    assert waiting.journal == [(outcome, "user_1")]


def test_an_address_that_is_taken_is_looked_up(tmp_path: Path) -> None:
    """A user that somebody made between the look-up and the call is used."""
    lie = Fault("users", Answer(200, [], content_type="application/json"), times=1)
    with Waiting(tmp_path, lie, users=Users(already=("user_1",))) as waiting:
        assert waiting.ask() == ["user_1"]
    assert waiting.journal == [("found", "user_1")]


def test_a_taken_address_without_a_user_is_asked_for_once(tmp_path: Path) -> None:
    """If Clerk calls the address taken and shows no user with it, the row waits a minute, and then has no user."""
    with Waiting(tmp_path, Fault("user", refusal(422, "form_identifier_exists"))) as waiting:
        (first,), (second,) = waiting.ask(), waiting.ask()
        waiting.clock.jump(61.0)
        (last,) = waiting.ask()
        calls = [event for event in waiting.server.events("request") if event["stage"] == "user"]
    for error in (first, second):
        assert isinstance(error, TransientError)
        assert error.scope is Scope.RECIPIENT
    assert isinstance(last, PermanentError)
    assert (str(last), len(calls), waiting.journal) == (NO_USER, 1, [("found", None)])


def test_a_refusal_skips_the_row_in_clerks_words(tmp_path: Path) -> None:
    """Another 4xx skips the row; after the operator's `retry` Clerk may be asked again."""
    with Waiting(tmp_path, Fault("user", refusal(422, "form_param_format_invalid"), times=1)) as waiting:
        (error,) = waiting.ask()
        assert isinstance(error, PermanentError)
        assert error.skip
        assert "422 form_param_format_invalid The scripted server says: form param format invalid." in str(error)
        assert waiting.journal == [("refused", None)]
        assert waiting.ask() == ["user_1"]


def test_the_same_refusal_of_everybody_stops_the_run(tmp_path: Path) -> None:
    """An instance that needs more than an address refuses all entries: the run stops after twelve of them."""
    with Waiting(tmp_path, Fault("user", refusal(422, "form_data_missing")), people=13) as waiting:
        found = waiting.ask()
    assert [isinstance(error, PermanentError) for error in found[:11]] == [True] * 11
    assert isinstance(found[11], ServiceRefusesError)
    assert "12 users in a row" in str(found[11])


def test_a_full_instance_stops_the_run(tmp_path: Path) -> None:
    """A development instance that can have no more users refuses all: nobody is skipped for it."""
    with Waiting(tmp_path, Fault("user", refusal(403, "user_quota_exceeded"))) as waiting:
        (error,) = waiting.ask()
    assert isinstance(error, ServiceRefusesError)
    assert waiting.journal == [("refused", None)]


def test_a_user_who_is_gone_is_not_made_again(tmp_path: Path) -> None:
    """Within a minute Clerk may not show the new user; after that the user was deleted, and no other one is made."""
    hidden = Fault("users", Answer(200, [], content_type="application/json"), skip=1)
    with Waiting(tmp_path, hidden) as waiting:
        assert waiting.ask() == ["user_1"]
        (early,) = waiting.ask()
        waiting.clock.jump(61.0)
        (late,) = waiting.ask()
        assert waiting.asked == 1
    assert isinstance(early, TransientError)
    assert isinstance(late, PermanentError)
    assert str(late) == NO_USER


def test_two_campaigns_make_one_user(tmp_path: Path) -> None:
    """While one campaign's call may be under way the other waits; after that it looks the address up."""
    with Waiting(tmp_path, Fault("user", Drop(), times=1)) as waiting:
        waiting.ask(campaign="one")
        (error,) = waiting.ask(campaign="two")
        assert isinstance(error, DeferredError)
        assert error.until == waiting.clock.now() + 90.0
        waiting.clock.jump(91.0)
        assert waiting.ask(campaign="two") == ["user_1"]
        assert waiting.ask(campaign="one") == ["user_1"]
        assert waiting.asked == 1


def test_a_user_who_may_get_no_link_is_settled_too(tmp_path: Path) -> None:
    """A lost answer is settled although the user is banned and gets no mail."""
    fault = Fault("user", Drop(done=True), times=1)
    with Waiting(tmp_path, fault, users=Users(banned=("user_1",))) as waiting:
        waiting.ask()
        (error,) = waiting.ask()
    assert isinstance(error, PermanentError)
    assert "banned" in str(error)
    assert waiting.journal == [("found", None)]
