"""The client of Clerk's Backend API: what each answer means, and that the key is sent only to Clerk."""

from __future__ import annotations

import socket
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.clerk.answers import retry_after
from campaign.errors import PermanentError, Scope, ServiceRefusesError, TransientError
from campaign.model import ClerkUser, SignInToken
from support.clerk_calls import CALLS, KEY, TWO_DAYS, ask, create, faulty
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import Answer, Change, ClerkScript, Impostor, Truncate, Users, error_body, refusal
from support.servers.script import Delay, Drop, Fault, Reset, Silence
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from campaign.clerk.client import Clerk
    from support.servers.script import Action

NOW = datetime(2026, 5, 12, 10, 0, tzinfo=UTC)


def test_a_token_is_made_for_the_user_who_was_asked_for() -> None:
    """A token comes with its id and owner, has the requested lifetime, and is hidden in `repr`."""
    with ClerkServer(ClerkScript(key=KEY)) as server:
        token = ask(server.url, create)
        (made,) = server.events("token")
    assert isinstance(token, SignInToken)
    assert (token.id, token.token, token.user_id) == (made["id"], made["token"], "user_ada")
    assert (made["seconds"], made["org_id"]) == (172_800, None)
    assert made["token"] not in repr(token)


def test_a_token_may_open_an_organization() -> None:
    """The organization's id goes with the request."""
    with ClerkServer(ClerkScript(key=KEY)) as server:
        ask(server.url, lambda clerk: clerk.create_sign_in_token("user_ada", expires_in=TWO_DAYS, org_id="org_1a"))
        (made,) = server.events("token")
    assert (made["user_id"], made["org_id"]) == ("user_ada", "org_1a")


@pytest.mark.parametrize("status", [403, 404, 422])
def test_a_refused_organization_costs_its_row(status: int) -> None:
    """If Clerk does not know the organization or its member, the row is skipped, and the reason names both ids."""
    with faulty("create", refusal(status, "not_a_member_in_organization")) as server:
        error = ask(
            server.url, lambda clerk: clerk.create_sign_in_token("user_ada", expires_in=TWO_DAYS, org_id="org_1a")
        )
    assert isinstance(error, PermanentError)
    assert error.skip
    assert error.reason.startswith("Clerk refuses a token for user_ada in org_1a: ")


@pytest.mark.parametrize(
    ("action", "scope", "orphan"),
    [
        (refusal(429, "too_many_requests", retry_after=3), Scope.CLERK, False),
        (Answer(500, "<html>oops</html>"), Scope.CLERK, True),
        (Answer(502, "<html>bad gateway</html>", done=True), Scope.CLERK, True),
        (Answer(503, ""), Scope.CLERK, True),
        (Answer(504, "\x00\xff", done=True), Scope.CLERK, True),
        (refusal(400, "request_body_invalid"), Scope.RECIPIENT, False),
        (refusal(409, "conflict"), Scope.RECIPIENT, False),
        (Answer(200, ""), Scope.CLERK, True),
        (Answer(200, "<html>hello</html>"), Scope.CLERK, True),
        (Answer(200, "[]", content_type="application/json"), Scope.CLERK, True),
        (Answer(200, "null", content_type="application/json"), Scope.CLERK, True),
        (Answer(201, '{"id": "sit_1"}', content_type="application/json"), Scope.CLERK, True),
        (Answer(204, ""), Scope.CLERK, True),
        (Truncate(), Scope.CLERK, True),
        (Change(without=("token",)), Scope.CLERK, True),
        (Change(without=("id",)), Scope.CLERK, True),
        (Change(without=("user_id",)), Scope.CLERK, True),
        (Change(fields={"token": ""}), Scope.CLERK, True),
        (Change(fields={"token": 7}), Scope.CLERK, True),
        (Change(fields={"id": None}), Scope.CLERK, True),
        (Change(fields={"token": "a\r\nBcc: b@example.com"}), Scope.CLERK, True),
        (Change(fields={"token": "tökén"}), Scope.CLERK, True),
        (Drop(done=True), Scope.CLERK, True),
        (Drop(), Scope.CLERK, True),
        (Reset(done=True), Scope.CLERK, True),
        (Silence(done=True), Scope.CLERK, True),
        (Delay(5.0), Scope.CLERK, True),
        (Answer(403, "<html>Checking your browser</html>"), Scope.CLERK, False),
    ],
    ids=str,
)
def test_what_may_work_later(action: Action, scope: Scope, *, orphan: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary fault says what has to be paused, and whether a token may exist whose id is unknown."""
    monkeypatch.setattr("campaign.clerk.client._CALL_TIMEOUT", httpx.Timeout(0.3))
    with faulty("create", action) as server:
        outcome = ask(server.url, create)
    assert isinstance(outcome, TransientError), outcome
    assert (outcome.scope, outcome.maybe_applied) == (scope, orphan)
    assert outcome.reason


@pytest.mark.parametrize(
    ("action", "wait"),
    [
        (refusal(429, "too_many_requests", retry_after=3), 3.0),
        (refusal(429, "too_many_requests", retry_after=0), 0.0),
        (refusal(429, "too_many_requests"), None),
        (Answer(429, "", headers={"Retry-After": "soon"}), None),
        (Answer(429, "", headers={"Retry-After": "99999999999999999999"}), 10.0**8),
        (Answer(503, "", retry_after=120), 120.0),
        (Answer(403, "<html>Slow down</html>", retry_after=7), 7.0),
    ],
    ids=["seconds", "none at all", "missing", "nonsense", "huge", "503", "a page"],
)
def test_clerk_says_how_long_to_wait(action: Action, wait: float | None) -> None:
    """A valid `Retry-After` is returned; without one the program chooses the wait."""
    with faulty("users", action) as server:
        outcome = ask(server.url, lambda clerk: clerk.users_by_id(["user_ada"]))
    assert isinstance(outcome, TransientError)
    assert outcome.scope is Scope.CLERK
    assert (outcome.wait.total_seconds() if outcome.wait is not None else None) == wait


def test_a_wait_until_a_date() -> None:
    """A `Retry-After` with a date gives the time until then."""
    with faulty("create", Answer(429, "", retry_after=90, as_date=True)) as server:
        outcome = ask(server.url, create)
    assert isinstance(outcome, TransientError)
    assert outcome.wait is not None
    assert 80 <= outcome.wait.total_seconds() <= 91


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("Tue, 12 May 2026 10:01:00 GMT", 60),
        ("Tue, 12 May 2026 09:00:00 GMT", 0),
        ("Tue, 12 May 2026 12:01:00 +0200", 60),
        ("Tue, 12 May 2026 10:01:00", 60),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("²", None),
        (None, None),
    ],
)
def test_forms_of_retry_after(value: str | None, seconds: int | None) -> None:
    """Seconds and dates are parsed (RFC 9110 §10.2.3), a past date means no wait, and anything else is ignored."""
    found = retry_after(value, now=NOW)
    assert found == (None if seconds is None else timedelta(seconds=seconds))


@given(
    st.one_of(st.text(), st.from_regex(r"\w{3}, \d{1,2} (Jan|May) \d{1,6} \d\d:\d\d:\d\d [-+]?\w{1,6}", fullmatch=True))
)
def test_no_retry_after_is_too_odd(value: str) -> None:
    """Any header gives a wait that is not negative, or none."""
    found = retry_after(value, now=NOW)
    assert found is None or found >= timedelta(0)


@pytest.mark.parametrize(
    ("script", "skip"),
    [
        (ClerkScript(users=Users(unknown=("user_ada",))), True),
        (ClerkScript(faults=(Fault("create", refusal(422, "form_param_value_invalid")),)), False),
        (ClerkScript(faults=(Fault("create", refusal(403, "user_locked")),)), False),
    ],
    ids=["404", "422", "403"],
)
def test_what_will_never_work(script: ClerkScript, *, skip: bool) -> None:
    """A user whom Clerk does not know is skipped, and one whom it refuses fails, each with Clerk's words."""
    with ClerkServer(script) as server:
        outcome = ask(server.url, create)
    assert isinstance(outcome, PermanentError)
    assert outcome.skip == skip
    assert outcome.reply is not None
    assert outcome.reply.enhanced in {"resource_not_found", "form_param_value_invalid", "user_locked"}
    assert "The scripted server says" in outcome.reply.text


@pytest.mark.parametrize("at", ["create", "users", "revoke"])
@pytest.mark.parametrize(
    "action",
    [
        refusal(401, "clerk_key_invalid"),
        refusal(403, "authorization_invalid"),
        Answer(401, "<html>login</html>"),
        Answer(302, "", headers={"Location": "http://127.0.0.1:9/v1"}),
        Answer(307, "", headers={"Location": "/elsewhere"}),
        Answer(308, "", headers={"Location": "https://elsewhere.example/"}),
    ],
    ids=["401", "403", "401 in HTML", "302", "307", "308"],
)
def test_clerk_refuses_us(at: str, action: Action) -> None:
    """A refused key or a redirect is a fault of the settings, and the error names those to check."""
    with faulty(at, action) as server:
        outcome = ask(server.url, CALLS[at])
        assert len(server.events("request")) == 1
    assert isinstance(outcome, ServiceRefusesError)
    assert "CLERK_API_URL" in str(outcome)


@pytest.mark.parametrize(
    ("at", "action", "word"),
    [
        ("create", refusal(402, "payment_required"), "the plan of your Clerk account"),
        (
            "create",
            Answer(422, error_body("form_param_value_invalid", param_name="expires_in_seconds")),
            "link.expires_in",
        ),
        ("create", refusal(410, "gone"), "upgrade campaign"),
        ("users", Answer(410, "<html>gone</html>"), "upgrade campaign"),
        ("revoke", refusal(405, "method_not_allowed"), "upgrade campaign"),
        ("create", Answer(413, ""), "upgrade campaign"),
        ("users", refusal(403, "user_locked"), "CLERK_SECRET_KEY"),
    ],
    ids=["402", "422 for the lifetime", "410", "410 in HTML", "405", "413", "403 for a list"],
)
def test_what_is_the_same_for_every_user(at: str, action: Action, word: str) -> None:
    """An answer that no user can change stops the run, with a sentence that says what to do."""
    with faulty(at, action) as server:
        outcome = ask(server.url, CALLS[at])
    assert isinstance(outcome, ServiceRefusesError)
    assert word in str(outcome)


def test_a_url_that_is_too_long_is_one_rows_fault() -> None:
    """A user whose id makes no URL is refused before a call, and 414 for a list means that each is asked for alone."""
    with ClerkServer() as server:
        outcome = ask(server.url, lambda clerk: clerk.users_by_id(["user_" + "a" * 70_000]))
        assert isinstance(outcome, PermanentError)
        assert "URL component 'query' too long" in str(outcome)
        assert server.events("request") == []
    with faulty("users", Answer(414, "")) as server:
        found = ask(server.url, CALLS["users"])
    assert isinstance(found, PermanentError)
    assert "414" in str(found)


def test_no_cookie_is_kept() -> None:
    """A cookie that Clerk sets is not sent back, so that one call has no effect on another."""
    with faulty("users", Answer(200, "[]", headers={"Set-Cookie": "__cf=1; Path=/"})) as server:

        async def twice(clerk: Clerk) -> list[ClerkUser]:
            await clerk.users_by_id(["user_ada"])
            return await clerk.users_by_id(["user_ada"])

        assert ask(server.url, twice) == []
        assert [event["cookie"] for event in server.events("request")] == [None, None]


def test_the_key_does_not_follow_a_redirect() -> None:
    """A redirect to another server is not followed, so that server gets no request."""
    with ClerkServer() as other:
        elsewhere = Answer(307, "", headers={"Location": f"{other.url}/v1/sign_in_tokens"})
        with faulty("create", elsewhere) as server:
            assert isinstance(ask(server.url, create), ServiceRefusesError)
        assert other.events() == []


def test_proxy_variables_are_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables of the environment are ignored, so the key is sent only to Clerk."""
    with ClerkServer() as proxy, ClerkServer() as server:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert isinstance(ask(server.url, create), SignInToken)
        assert proxy.events() == []


def test_a_certificate_that_cannot_be_trusted() -> None:
    """A server without a trusted certificate does not get the key, and the run stops."""
    with SmtpServer(SmtpScript(tls="implicit", certificate="self-signed")) as server:
        outcome = ask(f"https://127.0.0.1:{server.port}", create)
    assert isinstance(outcome, ServiceRefusesError)
    assert "TLS connection to Clerk at" in str(outcome)


def test_nobody_listens() -> None:
    """A refused connection is a fault of Clerk, and no token can have been made."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    outcome = ask(url, create)
    assert isinstance(outcome, TransientError)
    assert (outcome.scope, outcome.maybe_applied) == (Scope.CLERK, False)


def test_a_token_for_another_user_is_told_as_such() -> None:
    """The token's owner is the user whom Clerk names, so that the run can compare it with the requested user."""
    with faulty("create", Impostor("user_eve")) as server:
        token = ask(server.url, create)
    assert isinstance(token, SignInToken)
    assert token.user_id == "user_eve"
