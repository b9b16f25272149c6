"""The user directory: users are looked up in batches, and only a recipient with the user's own address gets a token."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from campaign.clerk.client import Clerk
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.user_directory import UserDirectory
from campaign.errors import CampaignError, PermanentError, Scope, ServiceRefusesError, TransientError
from campaign.model import Rate, Recipient
from support.fake_clock import FakeClock
from support.sendlog_helpers import people, person
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import Answer, ClerkScript, Users, refusal
from support.servers.script import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

USERS = Users(address="{id}@example.com")
#: `logbook.person` uses addresses of its own.
ADA = person(1)._replace(user_id="user_ada", email="user_ada@example.com")


def looked_up(
    recipients: Sequence[Recipient],
    script: ClerkScript,
    *,
    by_address: bool = False,
    any_address: bool = False,
    ahead: bool = True,
    limiter: RateLimiter | None = None,
) -> tuple[list[str | CampaignError], list[str]]:
    """Return each recipient's user id or error, and the stages of the calls that Clerk received."""

    async def run(server: ClerkServer) -> list[str | CampaignError]:
        async with Clerk(server.url, "sk_test_" + "k" * 40) as clerk:
            directory = UserDirectory(
                clerk,
                limiter or RateLimiter([], FakeClock()),
                by_address=by_address,
                verify="any" if any_address else True,
                clock=FakeClock(),
            )
            if ahead:
                await directory.fetch(recipients)
            return await asyncio.gather(*[found(directory, recipient) for recipient in recipients])

    async def found(directory: UserDirectory, recipient: Recipient) -> str | CampaignError:
        try:
            return (await directory.user_of(recipient)).id
        except CampaignError as error:
            return error

    with ClerkServer(script) as server:
        outcomes = asyncio.run(run(server))
        return outcomes, [event["stage"] for event in server.events("request")]


@pytest.fixture
def crowd(tmp_path: Path) -> ClerkScript:
    """A Clerk that knows the first 300 people of `logbook`."""
    rows = [f"{one.user_id},{one.email}" for one in people(300)]
    (tmp_path / "users.csv").write_text("\n".join(["user_id,email", *rows]), encoding="utf-8")
    return ClerkScript(users=Users(csv=str(tmp_path / "users.csv")))


@pytest.mark.parametrize("by_address", [False, True], ids=["by id", "by address"])
def test_a_hundred_users_are_asked_for_in_one_call(crowd: ClerkScript, *, by_address: bool) -> None:
    """The users of 250 recipients are looked up in three calls."""
    recipients = people(250)
    found, calls = looked_up(recipients, crowd, by_address=by_address)
    assert found == [recipient.user_id for recipient in recipients]
    assert calls == ["users"] * 3


def test_who_was_not_asked_for_ahead_is_asked_for_alone(crowd: ClerkScript) -> None:
    """A recipient whose user was not looked up ahead costs a call of its own."""
    found, calls = looked_up(people(3), crowd, ahead=False)
    assert found == ["user_1", "user_2", "user_3"]
    assert calls == ["users"] * 3


def test_each_call_takes_a_turn_of_clerks_allowance(crowd: ClerkScript) -> None:
    """Lookups of users and requests for tokens share one rate limit."""
    limiter = RateLimiter([Rate.parse("3/day")], FakeClock())
    looked_up(people(250), crowd, limiter=limiter)
    assert limiter.next_permit_at() > FakeClock().now()


@pytest.mark.parametrize(
    ("users", "recipient", "reason"),
    [
        (replace(USERS, unknown=("user_ada",)), ADA, "Clerk has no user with the id user_ada"),
        (USERS, ADA._replace(user_id="user_admin"), "the address does not belong to user_admin at Clerk"),
        (replace(USERS, moved=("user_ada",)), ADA, "the address does not belong to user_ada at Clerk"),
        (replace(USERS, banned=("user_ada",)), ADA, "user_ada is banned at Clerk"),
        (replace(USERS, locked=("user_ada",)), ADA, "user_ada is locked at Clerk"),
        (USERS, ADA._replace(user_id=None), "Clerk has no user with the id "),
        (replace(USERS, unverified=(f"* {ADA.email}",)), ADA, "the address is not verified at Clerk"),
        (replace(USERS, no_verification=(f"* {ADA.email}",)), ADA, "the address is not verified at Clerk"),
    ],
    ids=["unknown", "an admin's id", "another address", "banned", "locked", "no id", "unverified", "no verification"],
)
def test_who_gets_no_token(users: Users, recipient: Recipient, reason: str) -> None:
    """A recipient without a user of exactly this address is skipped with the reason."""
    (outcome,), _ = looked_up([recipient], ClerkScript(users=users))
    assert isinstance(outcome, PermanentError)
    assert outcome.skip
    assert outcome.reason == reason


@pytest.mark.parametrize(
    "email", ["user_ada@example.com", "USER_ADA@EXAMPLE.COM", "second@example.org", "ada@xn--mller-kva.example"]
)
def test_any_address_of_the_user_will_do(email: str) -> None:
    """The address may be any of the user's, ignoring case and the form of its domain."""
    users = replace(USERS, more={"user_ada": ("Second@Example.org", "ada@müller.example", "not an address")})
    outcomes, _ = looked_up([ADA._replace(email=email)], ClerkScript(users=users))
    assert outcomes == ["user_ada"]


def test_one_bad_row_does_not_harm_its_batch() -> None:
    """Each recipient of a batch gets its own answer."""
    users = replace(USERS, banned=("user_b",), unknown=("user_c",))
    recipients = [ADA._replace(user_id=f"user_{name}", email=f"user_{name}@example.com") for name in "abcd"]
    outcomes, _ = looked_up(recipients, ClerkScript(users=users))
    assert [type(outcome) for outcome in outcomes] == [str, PermanentError, PermanentError, str]


def test_an_id_is_looked_up_by_its_address() -> None:
    """Without an id in the CSV the user is found by the address, and a recipient without a user is skipped."""
    recipients = [ADA._replace(user_id=None), ADA._replace(user_id=None, email="nobody@example.com")]
    (found, missing), _ = looked_up(recipients, ClerkScript(users=replace(USERS, pattern="user_*")), by_address=True)
    assert found == "user_ada"
    assert isinstance(missing, PermanentError)
    assert missing.reason == "Clerk has no user with this address"


def test_an_address_of_two_users_is_skipped(tmp_path: Path) -> None:
    """If two users have the address, the recipient is skipped."""
    (tmp_path / "users.csv").write_text("user_id,email\nuser_1,a@example.com\nuser_2,A@example.com\n", encoding="utf-8")
    script = ClerkScript(users=Users(csv=str(tmp_path / "users.csv")))
    (outcome,), _ = looked_up([ADA._replace(email="a@example.com")], script, by_address=True)
    assert isinstance(outcome, PermanentError)
    assert (outcome.skip, outcome.reason) == (True, "2 Clerk users have this address")


@pytest.mark.parametrize("by_address", [False, True], ids=["by id", "by address"])
def test_only_a_verified_address_is_the_users_own(*, by_address: bool) -> None:
    """An unverified address gives no token, unless `verify_address = "any"`."""
    script = ClerkScript(users=replace(USERS, unverified=(f"* {ADA.email}",)))
    (refused,), _ = looked_up([ADA], script, by_address=by_address)
    assert isinstance(refused, PermanentError)
    assert (refused.skip, refused.reason) == (True, "the address is not verified at Clerk")
    found, _ = looked_up([ADA], script, by_address=by_address, any_address=True)
    assert found == ["user_ada"]


def test_an_address_means_the_user_who_verified_it(tmp_path: Path) -> None:
    """If one user verified an address and another only added it, the first one is found."""
    (tmp_path / "users.csv").write_text(
        f"user_id,email\nuser_ada,{ADA.email}\nuser_eve,{ADA.email}\n", encoding="utf-8"
    )
    script = ClerkScript(users=Users(csv=str(tmp_path / "users.csv"), unverified=("user_eve *",)))
    outcomes, _ = looked_up([ADA], script, by_address=True)
    assert outcomes == ["user_ada"]


@pytest.mark.parametrize("ahead", [True, False])
def test_the_same_user_may_be_asked_for_more_than_once(*, ahead: bool) -> None:
    """Several recipients with the same user all get their answer."""
    outcomes, _ = looked_up([ADA._replace(key=str(n)) for n in range(4)], ClerkScript(users=USERS), ahead=ahead)
    assert outcomes == ["user_ada"] * 4


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (refusal(429, "too_many_requests", retry_after=1), Scope.CLERK),
        (Answer(500, "oops"), Scope.CLERK),
        (refusal(401, "clerk_key_invalid"), ServiceRefusesError),
    ],
    ids=["429", "500", "401"],
)
def test_a_call_that_failed_is_met_by_those_who_wait_for_it(action: Answer, expected: object) -> None:
    """A failed batch raises only for those that wait for it; later recipients are looked up again, in one call."""
    recipients = [ADA._replace(key=str(number)) for number in range(5)]
    recipients = [one._replace(user_id=f"user_{one.key}", email=f"user_{one.key}@example.com") for one in recipients]
    script = ClerkScript(users=USERS, faults=(Fault("users", action, times=1),))

    async def run(server: ClerkServer) -> None:
        async with Clerk(server.url, "sk_test_" + "k" * 40) as clerk:
            directory = UserDirectory(clerk, RateLimiter([], FakeClock()), by_address=False, clock=FakeClock())
            at_once = [directory.user_of(recipient) for recipient in recipients[:2]]
            _, *met = await asyncio.gather(directory.fetch(recipients), *at_once, return_exceptions=True)
            for error in met:
                assert (error.scope if isinstance(error, TransientError) else type(error)) == expected
            later = [directory.user_of(recipient) for recipient in recipients[2:]]
            assert [user.id for user in await asyncio.gather(*later)] == ["user_2", "user_3", "user_4"]
            assert len(server.events("request")) == 2
            assert (await directory.user_of(recipients[0])).id == "user_0"

    with ClerkServer(script) as server:
        asyncio.run(run(server))


def test_a_recipient_whom_clerk_will_not_look_up_spoils_nobody_elses_call(tmp_path: Path) -> None:
    """If Clerk refuses a batch for one recipient, each is looked up alone: that one fails, the others succeed."""
    (tmp_path / "users.csv").write_text(
        "user_id,email\nuser_1,u1@example.com\nuser_2,u2@example.com\n", encoding="utf-8"
    )
    odd = refusal(422, "form_param_format_invalid")
    faults = (Fault("users", odd, times=1), Fault("users", odd, skip=1, times=1))
    script = ClerkScript(users=Users(csv=str(tmp_path / "users.csv")), faults=faults)
    (first, second, third), calls = looked_up([*people(2), person(3)], script)
    assert isinstance(second, PermanentError)
    assert not second.skip
    assert "form_param_format_invalid" in second.reason
    assert first == "user_1"
    assert isinstance(third, PermanentError)
    assert third.skip
    assert len(calls) == 4
