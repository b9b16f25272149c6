"""Looking up Clerk's users in batches, and the answers that settle a revocation."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from campaign.clerk.client import Clerk
from campaign.errors import CampaignError, PermanentError, Scope, TransientError
from campaign.model import ClerkUser, Revocation
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import Answer, Change, ClerkScript, Truncate, Used, Users, refusal
from support.servers.script import Drop, Fault, Reset, Silence

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.servers.script import Action

KEY = "sk_test_" + "k" * 40


def ask(server: ClerkServer, call: Callable[[Clerk], Awaitable[Any]]) -> Any:  # noqa: ANN401 - any result
    """Return the answer to one call, or its error."""

    async def run() -> object:
        async with Clerk(server.url, KEY) as clerk:
            return await call(clerk)

    try:
        return asyncio.run(run())
    except CampaignError as error:
        return error


def faulty(at: str, *actions: Action) -> ClerkServer:
    faults = tuple(Fault(at, action, times=1) for action in actions)
    return ClerkServer(ClerkScript(faults=faults))


# -- users -------------------------------------------------------------------------------------------------------


def test_users_are_found_by_id() -> None:
    """Users come with all addresses in lower case and whether they are banned or locked; unknown ones are omitted."""
    users = Users(
        address="{id}@Example.com",
        unknown=("user_x",),
        banned=("user_b",),
        locked=("user_l",),
        more={"user_a": ("Other@Example.org", "added@example.org", "unknown@example.org")},
        unverified=("* added@example.org",),
        no_verification=("* unknown@example.org",),
    )
    with ClerkServer(ClerkScript(users=users)) as server:
        found = ask(server, lambda clerk: clerk.users_by_id(["user_a", "user_x", "user_b", "user_l"]))
    assert {user.id: user for user in found} == {
        "user_a": ClerkUser(
            "user_a",
            frozenset({"user_a@example.com", "other@example.org", "added@example.org", "unknown@example.org"}),
            frozenset({"user_a@example.com", "other@example.org"}),
            banned=False,
            locked=False,
        ),
        "user_b": ClerkUser(
            "user_b", frozenset({"user_b@example.com"}), frozenset({"user_b@example.com"}), banned=True, locked=False
        ),
        "user_l": ClerkUser(
            "user_l", frozenset({"user_l@example.com"}), frozenset({"user_l@example.com"}), banned=False, locked=True
        ),
    }


def test_a_whole_batch_is_answered() -> None:
    """A hundred ids are looked up in one call, and all users are returned, not only the first ten."""
    with ClerkServer() as server:
        found = ask(server, lambda clerk: clerk.users_by_id([f"user_{each}" for each in range(100)]))
        assert len(server.events("request")) == 1
    assert len(found) == 100


@pytest.mark.parametrize("name", ["ada", "ada+news", "o'brien", "a&user_id=eve", "a%2Bb", "a#b", "ä"])
def test_addresses_are_asked_for_as_they_are(name: str) -> None:
    """An address with characters that need escaping in a query finds its user and no other."""
    users = Users(pattern="*", address="{id}@example.com")
    with ClerkServer(ClerkScript(users=users)) as server:
        (user,) = ask(server, lambda clerk: clerk.users_by_address([f"{name}@example.com"]))
    assert user.id == name


@pytest.mark.parametrize(
    ("action", "scope"),
    [
        (Answer(500, "<html>oops</html>"), Scope.CLERK),
        (Answer(200, "<html>hello</html>"), Scope.CLERK),
        (Answer(200, "{}", content_type="application/json"), Scope.CLERK),
        (Answer(200, "[7]", content_type="application/json"), Scope.CLERK),
        (Answer(200, "[null]", content_type="application/json"), Scope.CLERK),
        (Answer(200, '[{"id": "user_a"}]', content_type="application/json"), Scope.CLERK),
        (Answer(200, '[{"id": "user_a", "email_addresses": null}]', content_type="application/json"), Scope.CLERK),
        (Answer(200, '[{"id": "user_a", "email_addresses": ["a"]}]', content_type="application/json"), Scope.CLERK),
        (refusal(409, "conflict"), Scope.CLERK),
        (refusal(429, "too_many_requests", retry_after=1), Scope.CLERK),
        (Truncate(), Scope.CLERK),
        (Drop(), Scope.CLERK),
        (Reset(), Scope.CLERK),
        (Silence(), Scope.CLERK),
    ],
    ids=str,
)
def test_an_odd_list_of_users_is_no_list(action: Action, scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the answer is not a list of users, the call is retried later, and no user counts as unknown."""
    monkeypatch.setattr("campaign.clerk.client._CALL_TIMEOUT", httpx.Timeout(0.3))
    with faulty("users", action) as server:
        outcome = ask(server, lambda clerk: clerk.users_by_id(["user_a"]))
    assert isinstance(outcome, TransientError), outcome
    assert outcome.scope is scope
    assert not outcome.maybe_applied


@pytest.mark.parametrize("status", [400, 422])
def test_a_call_for_users_that_clerk_will_not_take(status: int) -> None:
    """If Clerk refuses the request itself, the lookup fails for good, with Clerk's words."""
    with faulty("users", refusal(status, "form_param_format_invalid")) as server:
        outcome = ask(server, lambda clerk: clerk.users_by_address(["a@example.com"]))
    assert isinstance(outcome, PermanentError)
    assert "form_param_format_invalid" in outcome.reason


# -- revocations -------------------------------------------------------------------------------------------------


def revoked(server: ClerkServer, *, token_id: str | None = None, times: int = 1) -> list[Any]:
    """Return the answers to several revocations of a new token, or of a given one."""

    async def run() -> list[Any]:
        answers: list[Any] = []
        async with Clerk(server.url, KEY) as clerk:
            made = await clerk.create_sign_in_token("user_ada", expires_in=timedelta(hours=1))
            for _ in range(times):
                try:
                    answers.append(await clerk.revoke_sign_in_token(token_id or made.id))
                except CampaignError as error:
                    answers.append(error)
        return answers

    return asyncio.run(run())


def test_a_pending_token_is_revoked() -> None:
    """An unused token is revoked, and a second revocation finds that it is no longer pending."""
    with ClerkServer() as server:
        assert revoked(server, times=2) == [Revocation.REVOKED, Revocation.USED]
        assert len(server.events("revoked")) == 1


def test_a_used_token_is_told() -> None:
    """A token that was used to sign in is reported as used."""
    with faulty("revoke", Used()) as server:
        assert revoked(server) == [Revocation.USED]


@pytest.mark.parametrize("token_id", ["sit_unknown", "sit/../users", "sit_1?x=/revoke", "sit %00"])
def test_a_token_that_clerk_does_not_know(token_id: str) -> None:
    """A token id that Clerk does not know is reported as unknown, and no id can change the URL's path."""
    with ClerkServer() as server:
        assert revoked(server, token_id=token_id) == [Revocation.UNKNOWN]
        assert server.events("request")[-1]["stage"] == "revoke"


@pytest.mark.parametrize(
    ("action", "again"),
    [
        (refusal(429, "too_many_requests"), Revocation.REVOKED),
        (Answer(500, "oops"), Revocation.REVOKED),
        (Answer(503, "", done=True), Revocation.USED),
        (Answer(202, ""), Revocation.REVOKED),
        (Drop(), Revocation.REVOKED),
        (Drop(done=True), Revocation.USED),
        (Reset(), Revocation.REVOKED),
        (Silence(), Revocation.REVOKED),
        (Change(without=("status",)), None),
    ],
    ids=str,
)
def test_a_revocation_that_is_not_settled(
    action: Action, again: Revocation | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revocation without an answer is tried again later, and says whether it may have been carried out."""
    monkeypatch.setattr("campaign.clerk.client._CALL_TIMEOUT", httpx.Timeout(0.3))
    with faulty("revoke", action) as server:
        first, second = revoked(server, times=2)
    if again is None:
        assert first is Revocation.REVOKED
    else:
        assert isinstance(first, TransientError)
        refused = isinstance(action, Answer) and action.status == 429
        assert first.maybe_applied is not refused
        assert second is again
