"""The scripted Clerk follows its script and records each event before it answers."""

from __future__ import annotations

import email.utils
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from support.plain_http import NO_TLS
from support.servers.background import ServerProcess
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import Answer, Change, ClerkScript, Impostor, Truncate, Used, Users, refusal
from support.servers.script import Action, Delay, Drop, Fault, Reset, Silence, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=2, headers={"Authorization": "Bearer sk_test_key"}, verify=NO_TLS) as client:
        yield client


def create(http: httpx.Client, server: ClerkServer | ServerProcess, user_id: str = "user_1") -> httpx.Response:
    return http.post(
        f"http://127.0.0.1:{server.port}/v1/sign_in_tokens",
        json={"user_id": user_id, "expires_in_seconds": 60},
    )


def revoke(http: httpx.Client, server: ClerkServer, token_id: str) -> httpx.Response:
    return http.post(f"{server.url}/v1/sign_in_tokens/{token_id}/revoke")


def faulty(*faults: Fault) -> ClerkServer:
    return ClerkServer(ClerkScript(faults=faults))


def test_a_token_is_made_and_recorded(http: httpx.Client) -> None:
    """The answer has Clerk's fields and content type, and the token is recorded before the client gets it."""
    with ClerkServer() as server:
        answer = create(http, server)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert {"object", "id", "status", "user_id", "token", "url", "created_at", "updated_at"} == set(body)
        (recorded,) = server.events("token")
        assert (recorded["id"], recorded["token"]) == (body["id"], body["token"])
        assert (recorded["user_id"], recorded["lost"]) == ("user_1", False)
        assert 55 < recorded["expires_at"] - time.time() < 61
        assert [event["path"] for event in server.events("request")] == ["/v1/sign_in_tokens"]


def test_a_token_is_revoked_once(http: httpx.Client) -> None:
    """A revocation gets 200, then 400; 400 for a used token; 404 for an unknown one."""
    with ClerkServer() as server:
        first, second = create(http, server).json(), create(http, server).json()
        assert first["token"] != second["token"]
        answers = [revoke(http, server, first["id"]) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 400]
        assert answers[0].json()["status"] == "revoked"
        assert answers[1].json()["errors"][0]["code"] == "sign_in_token_cannot_be_revoked_code"
        assert server.use(second["id"])
        assert not server.use(second["id"])
        assert revoke(http, server, second["id"]).status_code == 400
        assert revoke(http, server, "sit_unknown").status_code == 404
        assert [event["id"] for event in server.events("revoked")] == [first["id"]]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("not json", 400, "request_body_invalid"),
        ("{}", 422, "form_param_missing"),
        ('{"user_id": "user_1", "expires_in_seconds": 0}', 422, "form_param_value_invalid"),
        ('{"user_id": "user_gone"}', 404, "resource_not_found"),
    ],
)
def test_errors_have_clerks_form(http: httpx.Client, body: str, status: int, code: str) -> None:
    """Invalid requests get Clerk's status and an error with all three texts."""
    with ClerkServer(ClerkScript(users=Users(unknown=("user_gone",)))) as server:
        answer = http.post(f"{server.url}/v1/sign_in_tokens", content=body)
        assert answer.status_code == status
        error = answer.json()["errors"][0]
        assert error["code"] == code
        assert error["message"]
        assert error["long_message"]


def test_keys_are_checked(http: httpx.Client) -> None:
    """A wrong key and an invalid header get 401 with different codes."""
    with ClerkServer(ClerkScript(key="sk_test_other")) as server:
        assert create(http, server).json()["errors"][0]["code"] == "clerk_key_invalid"
        odd = http.post(f"{server.url}/v1/sign_in_tokens", headers={"Authorization": "sk_test_key"})
        assert odd.json()["errors"][0]["code"] == "authorization_header_format_invalid"


def test_users_come_from_a_csv(http: httpx.Client, tmp_path: Path) -> None:
    """Users are found by id and by address, at most `limit` of them (default ten)."""
    path = tmp_path / "users.csv"
    rows = [f"user_{n},Person+{n}@example.com\n" for n in range(30)]
    path.write_text("user_id,email\n" + "".join(rows), encoding="utf-8")
    users = Users(csv=str(path), banned=("user_3",), moved=("user_4",), more={"user_5": ("second@example.com",)})
    with ClerkServer(ClerkScript(users=users)) as server:

        def ask(**query: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any query
            found = http.get(f"{server.url}/v1/users", params=query).json()
            assert isinstance(found, list)
            return found

        ids = [f"user_{n}" for n in range(40)]
        assert len(ask(user_id=ids)) == 10
        found = {user["id"]: user for user in ask(user_id=ids, limit=100)}
        assert len(found) == 30
        assert len(found["user_1"]) == 35
        addresses = {one: [entry["email_address"] for entry in user["email_addresses"]] for one, user in found.items()}
        assert addresses["user_1"] == ["Person+1@example.com"]
        assert addresses["user_4"] == ["moved+user_4@elsewhere.example"]
        assert addresses["user_5"] == ["Person+5@example.com", "second@example.com"]
        assert [one for one, user in found.items() if user["banned"]] == ["user_3"]
        by_address = ask(email_address=["person+7@example.com", "nobody@example.com", "second@example.com"])
        assert [user["id"] for user in by_address] == ["user_7", "user_5"]
        assert http.get(f"{server.url}/v1/users/count").json() == {"object": "total_count", "total_count": 30}
        assert http.get(f"{server.url}/v1/users", params={"user_id": ["u"] * 101}).status_code == 422


def test_users_come_from_a_pattern(http: httpx.Client) -> None:
    """Without a file every id of the pattern exists, and its address is derived from the id."""
    with ClerkServer(ClerkScript(users=Users(address="{id}@example.com"))) as server:
        by_id = http.get(f"{server.url}/v1/users", params={"user_id": ["user_a", "other"]}).json()
        by_address = http.get(
            f"{server.url}/v1/users", params={"email_address": ["user_a@example.com", "x@example.com"]}
        ).json()
        assert [user["id"] for user in by_id] == [user["id"] for user in by_address] == ["user_a"]


def test_the_limit_is_enforced(http: httpx.Client) -> None:
    """Above the limit every request gets 429 until the seconds of Retry-After have passed."""
    with ClerkServer(ClerkScript(limit=(3, 0.5))) as server:
        codes = [create(http, server).status_code for _ in range(3)]
        codes.append(http.get(f"{server.url}/v1/users").status_code)
        refused = create(http, server)
        assert [*codes, refused.status_code] == [200, 200, 200, 429, 429]
        assert refused.headers["retry-after"] == "1"
        time.sleep(0.55)
        assert create(http, server).status_code == 200
        assert len(server.events("token")) == 4


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after(http: httpx.Client, *, as_date: bool) -> None:
    """A scripted 429 has Retry-After as seconds or as a date, and may block all other requests meanwhile."""
    fault = Fault("create", Answer(429, retry_after=7, as_date=as_date, shut=True), times=1)
    with faulty(fault) as server:
        given = create(http, server).headers["retry-after"]
        seconds = email.utils.parsedate_to_datetime(given).timestamp() - time.time() if as_date else float(given)
        assert 5.9 <= seconds <= 7
        assert http.get(f"{server.url}/v1/users").status_code == 429


@pytest.mark.parametrize("action", [Drop(done=True), Reset(done=True), Silence(0.05, done=True), Truncate()])
def test_replies_lost_after_the_fact(http: httpx.Client, action: Action) -> None:
    """The token exists and the lost reply is recorded, but the client gets no answer."""
    with faulty(Fault("create", action, times=1)) as server:
        with pytest.raises(httpx.TransportError):
            create(http, server)
        assert [event["lost"] for event in server.events("token")] == [True]
        assert create(http, server).status_code == 200


@pytest.mark.parametrize("action", [Drop(), Reset(), Silence(0.05)])
def test_connections_lost_before_the_fact(http: httpx.Client, action: Action) -> None:
    """If the connection is lost without `done`, no token was made."""
    with faulty(Fault("create", action, times=1)) as server:
        with pytest.raises(httpx.TransportError):
            create(http, server)
        assert not server.events("token")


def test_wrong_answers(http: httpx.Client) -> None:
    """Answers may be HTML, empty, incomplete, for another user, redirects or late, each chosen by user."""
    faults = (
        Fault("create", Answer(503, "<html>busy</html>"), to="user_html"),
        Fault("create", Answer(200), to="user_empty"),
        Fault("create", Change(without=("token", "id")), to="user_bare"),
        Fault("create", Impostor("user_other"), to="user_victim"),
        Fault("create", Answer(307, headers={"Location": "http://127.0.0.1:9/"}), to="user_away"),
        Fault("create", Delay(0.05), to="user_slow"),
        Fault("create", refusal(403, "authorization_invalid"), to="user_forbidden"),
    )
    with faulty(*faults) as server:
        html = create(http, server, "user_html")
        assert (html.status_code, html.headers["content-type"]) == (503, "text/html")
        assert create(http, server, "user_empty").content == b""
        assert not {"token", "id"} & set(create(http, server, "user_bare").json())
        assert create(http, server, "user_victim").json()["user_id"] == "user_other"
        assert create(http, server, "user_away").headers["location"] == "http://127.0.0.1:9/"
        begun = time.monotonic()
        assert create(http, server, "user_slow").status_code == 200
        assert time.monotonic() - begun >= 0.05
        assert create(http, server, "user_forbidden").json()["errors"][0]["code"] == "authorization_invalid"
        assert [event["user_id"] for event in server.events("token")] == [
            "user_bare",
            "user_other",
            "user_slow",
        ]
        statuses = [event["status"] for event in server.events("request")]
        assert statuses == [503, 200, 200, 200, 307, 200, 403]


def test_revoke_faults(http: httpx.Client) -> None:
    """A revocation may find the token used, or fail, chosen by the token's user."""
    faults = (
        Fault("revoke", Used(), to="user_quick"),
        Fault("revoke", Answer(500), times=1, per="recipient"),
    )
    with faulty(*faults) as server:
        quick, other = create(http, server, "user_quick").json(), create(http, server, "user_other").json()
        assert revoke(http, server, quick["id"]).status_code == 400
        assert [revoke(http, server, other["id"]).status_code for _ in range(2)] == [500, 200]
        assert [event["id"] for event in server.events("used")] == [quick["id"]]


def test_refusals_from_the_nth_request_on(http: httpx.Client) -> None:
    """With `skip=n` the key is valid for the first n requests of any kind and then no longer."""
    with faulty(Fault("any", refusal(401, "clerk_key_invalid"), skip=2)) as server:
        codes = [create(http, server).status_code, http.get(f"{server.url}/v1/users").status_code]
        assert [*codes, create(http, server).status_code] == [200, 200, 401]


def test_as_a_process(http: httpx.Client, tmp_path: Path) -> None:
    """Run as a process it accepts the same script, and its record is complete when the answer arrives."""
    script = ClerkScript(
        users=Users(unknown=("user_gone",), more={"user_1": ("b@example.com",)}),
        faults=(Fault("create", refusal(422, "form_param_value_invalid"), to="user_bad"),),
    )
    again = from_json(to_json(script))
    assert json.loads(to_json(again)) == json.loads(to_json(script))
    with ServerProcess("clerk", script, tmp_path, sync=True) as server:
        body = create(http, server).json()
        assert [event["token"] for event in server.events("token")] == [body["token"]]
        assert create(http, server, "user_gone").status_code == 404
        assert create(http, server, "user_bad").status_code == 422
