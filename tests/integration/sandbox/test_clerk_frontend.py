"""The sandbox's Frontend API: a ticket signs in once, and every refusal is Clerk's."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import jwt
import pytest

from campaign.sandbox import Sandbox
from support.plain_http import NO_TLS
from support.sandbox.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def visitor(sandbox: Sandbox) -> Iterator[Visitor]:
    """A browser without a session."""
    with Visitor(sandbox) as arrived:
        yield arrived


def mint(sandbox: Sandbox, address: str = "mia@example.com") -> tuple[str, str]:
    """Return the id and the JWT of a new token for the user with an address."""
    user_id = f"user_{address.partition('@')[0]}"
    sandbox.learn([(user_id, address)])
    created = sandbox.state.tokens.create(user_id, seconds=60)
    assert created is not None
    token, ticket = created
    return token.id, ticket


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    (error,) = answer.json()["errors"]
    assert (error["code"], bool(error["message"]), bool(error["long_message"])) == (code, True, True)


def test_a_ticket_signs_in(sandbox: Sandbox, visitor: Visitor) -> None:
    """A ticket gives a complete sign-in, an active session of its user, and a client that contains both."""
    token_id, ticket = mint(sandbox)
    assert visitor.ask("GET", "/client").json() == {"response": None, "client": None}
    answer = visitor.redeem(ticket).json()
    session_id = answer["response"]["created_session_id"]
    assert answer["response"]["status"] == "complete"
    assert answer["client"]["last_active_session_id"] == session_id
    (session,) = answer["client"]["sessions"]
    assert (session["id"], session["status"], session["user"]["id"]) == (session_id, "active", "user_mia")
    assert session["user"]["email_addresses"][0]["email_address"] == "mia@example.com"
    assert not {"private_metadata", "banned", "locked"} & session["user"].keys()
    (again,) = visitor.sessions()
    assert again["id"] == session_id
    token = sandbox.state.tokens.get(token_id)
    assert token is not None
    assert token.status == "accepted"
    user = sandbox.state.users.get("user_mia")
    assert user is not None
    assert user.last_sign_in_at is not None


def test_a_session_is_proved_by_a_jwt(sandbox: Sandbox, visitor: Visitor) -> None:
    """A session's JWT verifies against the published key, lives for a minute and names page, user and session."""
    _, ticket = mint(sandbox)
    session_id = visitor.redeem(ticket).json()["response"]["created_session_id"]
    first = visitor.sessions()[0]["last_active_token"]["jwt"]
    answer = visitor.ask("POST", f"/client/sessions/{session_id}/tokens").json()
    assert answer["object"] == "token"
    keys = jwt.PyJWKSet.from_dict(visitor.http.get("/.well-known/jwks.json").json())
    for proof in (first, answer["jwt"]):
        key = keys[jwt.get_unverified_header(proof)["kid"]]
        claims = jwt.decode(proof, key, algorithms=["RS256"])
        assert claims["exp"] == claims["iat"] + 60
        assert (claims["sub"], claims["sid"]) == ("user_mia", session_id)
        assert claims["azp"] == "http://localhost:3000"
        assert claims["iss"] == f"https://{sandbox.state.keys.host}"
        assert (claims["sts"], claims["v"], claims["fva"]) == ("active", 2, [0, -1])
    assert sandbox.state.tokens.id_in(answer["jwt"]) is None


def test_a_session_can_be_touched(sandbox: Sandbox, visitor: Visitor) -> None:
    """Touching a session returns it with its client, and only to the browser that owns it."""
    _, ticket = mint(sandbox)
    session_id = visitor.redeem(ticket).json()["response"]["created_session_id"]
    answer = visitor.ask("POST", f"/client/sessions/{session_id}/touch").json()
    assert answer["response"]["id"] == answer["client"]["sessions"][0]["id"] == session_id
    with Visitor(sandbox) as stranger:
        for action in ("touch", "tokens", "end", "remove"):
            refused(stranger.ask("POST", f"/client/sessions/{session_id}/{action}"), 404, "resource_not_found")


def test_a_used_ticket_says_so(sandbox: Sandbox, visitor: Visitor) -> None:
    """A ticket that was used in one browser is refused as used in another one."""
    _, ticket = mint(sandbox)
    assert visitor.redeem(ticket).status_code == 200
    with Visitor(sandbox) as second:
        refused(second.redeem(ticket), 400, "sign_in_token_already_used_code")
        assert not second.sessions()


def test_a_revoked_ticket_says_so(sandbox: Sandbox, visitor: Visitor) -> None:
    """A revoked ticket is refused as revoked, and an expired one as expired."""
    token_id, ticket = mint(sandbox)
    sandbox.state.tokens.revoke(token_id)
    refused(visitor.redeem(ticket), 400, "sign_in_token_revoked_code")
    token_id, ticket = mint(sandbox)
    sandbox.state.tokens.expire(token_id)
    refused(visitor.redeem(ticket), 400, "ticket_expired_code")


@pytest.mark.parametrize("change", ["", "x", "a.b.c", "{ticket}x", "swapped"])
def test_a_forged_ticket_says_so(sandbox: Sandbox, visitor: Visitor, change: str) -> None:
    """A ticket that this sandbox did not sign is refused as invalid, and a missing one as missing."""
    _, ticket = mint(sandbox)
    head, claims, signature = ticket.split(".")
    forged = f"{head}.{claims[::-1]}.{signature}" if change == "swapped" else change.format(ticket=ticket)
    if forged:
        refused(visitor.redeem(forged), 400, "ticket_invalid_code")
    else:
        refused(visitor.redeem(forged), 422, "form_param_missing")
    refused(visitor.ask("POST", "/client/sign_ins", strategy="password"), 422, "form_param_value_invalid")
    refused(visitor.ask("POST", "/client/sign_ins"), 422, "form_param_missing")


@pytest.mark.parametrize("other", ["mia@example.com", "ann@example.com"])
def test_who_is_signed_in_spends_no_ticket(sandbox: Sandbox, visitor: Visitor, other: str) -> None:
    """In a browser with a session, of the same user or another, a ticket is refused and stays pending."""
    visitor.redeem(mint(sandbox)[1])
    token_id, ticket = mint(sandbox, other)
    refused(visitor.redeem(ticket), 400, "session_exists")
    token = sandbox.state.tokens.get(token_id)
    assert token is not None
    assert token.status == "pending"
    assert visitor.ask("DELETE", "/client/sessions").json()["response"]["sessions"] == []
    assert visitor.redeem(ticket).status_code == 200


@pytest.mark.parametrize("fate", ["banned", "locked"])
def test_who_is_shut_out_spends_no_ticket(sandbox: Sandbox, visitor: Visitor, fate: str) -> None:
    """A banned or a locked user is refused with 403, and the ticket stays pending."""
    token_id, ticket = mint(sandbox, f"mia+{fate}@example.com")
    refused(visitor.redeem(ticket), 403, f"user_{fate}")
    token = sandbox.state.tokens.get(token_id)
    assert token is not None
    assert token.status == "pending"


def test_of_three_browsers_one_wins(sandbox: Sandbox) -> None:
    """If three browsers use one ticket at once, one signs in and the others get the error that it was used."""
    with ExitStack() as leaving, ThreadPoolExecutor(3) as pool:
        for _ in range(2):
            _, ticket = mint(sandbox)
            racers = [leaving.enter_context(Visitor(sandbox)) for _ in range(3)]
            answers = list(pool.map(lambda racer, ticket=ticket: racer.redeem(ticket), racers))
            assert sorted(answer.status_code for answer in answers) == [200, 400, 400]
            for answer in answers:
                if answer.status_code == 400:
                    refused(answer, 400, "sign_in_token_already_used_code")
            assert sum(len(racer.sessions()) for racer in racers) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "/client", "removed"),
        ("DELETE", "/client/sessions", "removed"),
        ("POST", "/client/sessions/{}/remove", "removed"),
        ("POST", "/client/sessions/{}/end", "ended"),
    ],
)
def test_signing_out_ends_the_session(sandbox: Sandbox, visitor: Visitor, method: str, path: str, status: str) -> None:
    """After each way of signing out the client has no session, and the old session gives no more JWTs."""
    session_id = visitor.redeem(mint(sandbox)[1]).json()["response"]["created_session_id"]
    with Visitor(sandbox) as other:
        other.redeem(mint(sandbox)[1])
        answer = visitor.ask(method, path.format(session_id)).json()
        assert answer["client"]["sessions"] == []
        assert answer["client"]["last_active_session_id"] is None
        assert visitor.sessions() == []
        assert len(other.sessions()) == 1
    refused(visitor.ask("POST", f"/client/sessions/{session_id}/tokens"), 404, "resource_not_found")
    assert sandbox.state.sessions.of_user("user_mia")[1].status == status


def test_an_unknown_browser_is_told_to_start_afresh(sandbox: Sandbox, visitor: Visitor) -> None:
    """A browser without a known identity gets the code at which clerk-js requests a new one."""
    visitor.identity = "dvb_from_another_sandbox"
    refused(visitor.ask("GET", "/client"), 401, "dev_browser_unauthenticated")
    token_id, ticket = mint(sandbox)
    refused(visitor.redeem(ticket), 401, "dev_browser_unauthenticated")
    token = sandbox.state.tokens.get(token_id)
    assert token is not None
    assert token.status == "pending"
    assert visitor.ask("PATCH", "/environment").status_code == 200
    refused(visitor.ask("GET", "/nothing"), 404, "resource_not_found")


def test_a_session_outlives_a_restart(tmp_path: Path) -> None:
    """A session survives a restart of the sandbox."""

    async def serve(identity: str | None) -> str:
        async with Sandbox(tmp_path / "state") as sandbox:
            with Visitor(sandbox) as visitor:
                if identity is None:
                    visitor.redeem(mint(sandbox)[1])
                else:
                    visitor.identity = identity
                assert [session["user"]["id"] for session in visitor.sessions()] == ["user_mia"]
                return visitor.identity

    asyncio.run(serve(asyncio.run(serve(None))))


def test_a_limited_sandbox_takes_five_sign_ins(tmp_path: Path) -> None:
    """With Clerk's limits on, the sixth sign-in within ten seconds gets 429, and its ticket stays pending."""

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state", clerk_limits=True) as sandbox:
            with Visitor(sandbox) as visitor:
                for _ in range(5):
                    refused(visitor.redeem("forged"), 400, "ticket_invalid_code")
                token_id, ticket = mint(sandbox)
                answer = visitor.redeem(ticket)
            refused(answer, 429, "too_many_requests")
            assert 1 <= int(answer.headers["retry-after"]) <= 10
            token = sandbox.state.tokens.get(token_id)
            assert token is not None
            assert token.status == "pending"

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_looking_at_a_link_spends_nothing(sandbox: Sandbox, visitor: Visitor, method: str) -> None:
    """A mail scanner cannot use up a ticket by opening links, since only a POST does."""
    token_id, ticket = mint(sandbox)
    for path in ("/v1/tickets/accept", "/v1/client/sign_ins", "/v1/client"):
        visitor.http.request(method, path, params={"ticket": ticket, "strategy": "ticket", "_method": "POST"})
    token = sandbox.state.tokens.get(token_id)
    assert token is not None
    assert token.status == "pending"


def test_pages_of_this_machine_may_ask(sandbox: Sandbox) -> None:
    """Pages on other ports of this machine may send requests with credentials; pages from elsewhere may not (CORS)."""
    url = f"{sandbox.clerk_url}/__clerk/v1/client"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-own"}
    with httpx.Client(trust_env=False, verify=NO_TLS) as client:
        for origin in ("http://localhost:3000", "http://127.0.0.1:8025", "https://shop.localhost", "http://[::1]:1"):
            answer = client.get(url, headers={"Origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["access-control-allow-credentials"] == "true"
            preflight = client.options(url, headers={"Origin": origin, **asked})
            assert preflight.status_code == 200
        for origin in ("https://acme.example", "http://localhost.acme.example", "null", "http://127.0.0.1.example"):
            answer = client.get(url, headers={"Origin": origin})
            assert "access-control-allow-origin" not in answer.headers
            assert client.options(url, headers={"Origin": origin, **asked}).status_code == 400


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost:3000/welcome?token=1", 307),
        ("http://127.0.0.1:3000/", 307),
        ("http://[::1]:3000/", 307),
        ("https://acme.example/", 400),
        ("http://localhost@acme.example/", 400),
        ("http://acme.example\\@localhost/", 400),
        ("http://localhost\\@acme.example/", 400),
        ("http://acme.example%5C@localhost/", 400),
        ("http://ann@localhost/", 400),
        ("http://local\thost.acme.example/", 400),
        ("http://localhost.acme.example/", 400),
        ("//acme.example/", 400),
        ("javascript:alert(1)", 400),
        ("/welcome", 400),
        ("", 400),
    ],
)
def test_a_handshake_goes_back_to_this_machine_only(visitor: Visitor, target: str, status: int) -> None:
    """A handshake redirects the browser back to its page only if that is a page of this machine."""
    answer = visitor.http.get("/v1/client/handshake", params={"redirect_url": target})
    assert answer.status_code == status
    if status == 307:
        assert answer.headers["location"] == target
        assert answer.headers["referrer-policy"] == "no-referrer"
    else:
        refused(answer, 400, "redirect_url_mismatch")
