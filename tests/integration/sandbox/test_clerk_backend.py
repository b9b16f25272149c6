"""The sandbox's Backend API: every answer has the form that Clerk documents."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest

from campaign.sandbox import Sandbox
from campaign.sandbox.answers import ApiError
from campaign.sandbox.limits import ClerkLimit
from support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from campaign.sandbox.users import User
    from campaign.sandbox.waitlist import WaitlistEntry

USER = "user_2abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(autouse=True)
def _known(sandbox: Sandbox) -> None:
    sandbox.learn([(USER, "Mia@Example.com")])


def mint(clerk: httpx.Client, **more: object) -> dict[str, Any]:
    answer = clerk.post("/v1/sign_in_tokens", json={"user_id": USER, **more})
    assert answer.status_code == 200, answer.text
    token: dict[str, Any] = answer.json()
    return token


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the only error of an answer, after checking that it has all fields of Clerk's."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["clerk_trace_id"]
    (error,) = body["errors"]
    assert error["code"] == code
    assert error["message"]
    assert error["long_message"]
    found: dict[str, Any] = error
    return found


def test_a_token_comes_as_clerk_documents_it(clerk: httpx.Client, sandbox: Sandbox) -> None:
    """A created token has exactly Clerk's fields, status 200 and a content type without a charset."""
    before = int(time.time() * 1000)
    answer = clerk.post("/v1/sign_in_tokens", json={"user_id": USER, "expires_in_seconds": 3600})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    token = answer.json()
    assert token.keys() == {
        "object", "id", "status", "user_id", "token", "url", "created_at", "updated_at",
    }  # fmt: skip
    assert (token["object"], token["status"], token["user_id"]) == ("sign_in_token", "pending", USER)
    assert token["id"].startswith("sit_")
    assert token["url"] == f"{sandbox.clerk_url}/__clerk/v1/tickets/accept?ticket={token['token']}"
    assert before <= token["created_at"] == token["updated_at"] <= time.time() * 1000


def test_a_token_is_a_jwt_that_the_published_key_verifies(clerk: httpx.Client) -> None:
    """A token is a JWT signed with RS256, of a realistic length, that expires at the requested time."""
    token = mint(clerk, expires_in_seconds=3600)
    keys = jwt.PyJWKSet.from_dict(clerk.get("/v1/jwks").json())
    key = keys[jwt.get_unverified_header(token["token"])["kid"]]
    claims = jwt.decode(token["token"], key, algorithms=["RS256"])
    assert claims["sid"] == token["id"]
    assert claims["exp"] == (token["created_at"] + 3_600_000) // 1000
    assert 500 < len(token["token"]) < 900


def test_a_token_lives_thirty_days_where_nothing_is_said(clerk: httpx.Client, sandbox: Sandbox) -> None:
    """Without `expires_in_seconds` a token lives for Clerk's default of thirty days."""
    token = sandbox.state.tokens.get(mint(clerk)["id"])
    assert token is not None
    assert token.expires_at - token.created_at == 30 * 86_400_000


def test_a_token_is_revoked_once(clerk: httpx.Client) -> None:
    """The first revocation returns the token as revoked, and a second one is refused."""
    token = mint(clerk)
    answer = clerk.post(f"/v1/sign_in_tokens/{token['id']}/revoke")
    assert answer.status_code == 200
    assert answer.json()["status"] == "revoked"
    assert "token" not in answer.json()
    again = clerk.post(f"/v1/sign_in_tokens/{token['id']}/revoke")
    refused(again, 400, "sign_in_token_cannot_be_revoked_code")


def test_a_used_token_cannot_be_revoked(clerk: httpx.Client, sandbox: Sandbox) -> None:
    """Revoking a token that was used to sign in is refused with Clerk's code."""
    token = mint(clerk)
    assert sandbox.state.tokens.redeem(token["id"])
    answer = clerk.post(f"/v1/sign_in_tokens/{token['id']}/revoke")
    refused(answer, 400, "sign_in_token_cannot_be_revoked_code")


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 422, "form_param_missing", "user_id"),
        ({"user_id": None}, 422, "form_param_missing", "user_id"),
        ({"user_id": 7}, 422, "form_param_format_invalid", "user_id"),
        ({"user_id": "user_nobody"}, 404, "resource_not_found", None),
        ({"user_id": USER, "expires_in_seconds": 0}, 422, "form_param_value_invalid", "expires_in_seconds"),
        ({"user_id": USER, "expires_in_seconds": 10**30}, 422, "form_param_value_invalid", "expires_in_seconds"),
        ({"user_id": USER, "expires_in_seconds": "1"}, 422, "form_param_format_invalid", "expires_in_seconds"),
        ({"user_id": USER, "expires_in_seconds": True}, 422, "form_param_format_invalid", "expires_in_seconds"),
        ({"user_id": USER, "org_id": 7}, 422, "form_param_format_invalid", "org_id"),
        ({"user_id": USER, "org_id": "acme"}, 404, "resource_not_found", None),
        ({"user_id": "user_nobody", "org_id": "org_1"}, 404, "resource_not_found", None),
        ({"user_id": USER, "expires_in": 60}, 422, "form_param_unknown", "expires_in"),
    ],
)  # fmt: skip
def test_a_token_is_refused_by_clerks_table(
    clerk: httpx.Client, body: dict[str, object], status: int, code: str, param: str | None
) -> None:
    """An invalid request for a token gets the status, the code and the parameter that Clerk documents."""
    error = refused(clerk.post("/v1/sign_in_tokens", json=body), status, code)
    assert error.get("meta", {}).get("param_name") == param


def test_a_stranger_to_organizations_gets_no_token_in_one(clerk: httpx.Client, sandbox: Sandbox) -> None:
    """A user with the fate `+nomember` gets a token without an organization only; others get one in any."""
    sandbox.learn([("user_lone", "lone+nomember@example.com")])
    body = {"user_id": "user_lone", "org_id": "org_1"}
    refused(clerk.post("/v1/sign_in_tokens", json=body), 403, "not_a_member_in_organization")
    assert clerk.post("/v1/sign_in_tokens", json={"user_id": "user_lone"}).status_code == 200
    token = sandbox.state.tokens.get(mint(clerk, org_id="org_1")["id"])
    assert token is not None
    assert token.org_id == "org_1"


@pytest.mark.parametrize("content", [b"{", b"[]", b"user_id=user_1", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(clerk: httpx.Client, content: bytes) -> None:
    """A body that is not a JSON object is answered with 400."""
    refused(clerk.post("/v1/sign_in_tokens", content=content), 400, "request_body_invalid")


def test_what_is_not_there_is_not_found(clerk: httpx.Client) -> None:
    """Unknown tokens, users, waitlist entries and endpoints are answered with 404 in Clerk's form."""
    refused(clerk.post("/v1/sign_in_tokens/sit_1/revoke"), 404, "resource_not_found")
    refused(clerk.get("/v1/users/user_1"), 404, "resource_not_found")
    refused(clerk.post("/v1/waitlist_entries/wle_1/invite"), 404, "resource_not_found")
    refused(clerk.get("/v1/sign_in_tokens"), 404, "resource_not_found")
    refused(clerk.get("/v1/organizations"), 404, "resource_not_found")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "authorization_header_format_invalid"),
        ("sk_test_1", "authorization_header_format_invalid"),
        ("Basic c2s6", "authorization_header_format_invalid"),
        ("Bearer", "authorization_header_format_invalid"),
        ("Bearer a b", "authorization_header_format_invalid"),
        ("Bearer sk_test_1", "clerk_key_invalid"),
        ("Bearer sk_live_1", "clerk_key_invalid"),
    ],
)
def test_nobody_gets_in_without_the_key(sandbox: Sandbox, header: str | None, code: str) -> None:
    """Every endpoint answers a wrong key with 401, and an invalid header with another code."""
    headers = {} if header is None else {"Authorization": header}
    with httpx.Client(base_url=sandbox.clerk_url, headers=headers, trust_env=False, verify=NO_TLS) as client:
        refused(client.post("/v1/sign_in_tokens", json={"user_id": USER}), 401, code)
        refused(client.get("/v1/users"), 401, code)
        refused(client.get("/v1/jwks"), 401, code)
        refused(client.get("/v1/nothing"), 401, code)


def test_users_are_found_by_id_and_by_address(clerk: httpx.Client, sandbox: Sandbox) -> None:
    """Users are found by ids and by addresses, in any case and with a plus sign; unknown ones are omitted."""
    sandbox.learn([("user_plus", "a+b@example.com"), ("user_other", "other@example.com")])
    by_id = clerk.get("/v1/users", params={"user_id": [USER, "user_other", "user_nobody"]}).json()
    assert {user["id"] for user in by_id} == {USER, "user_other"}
    by_address = clerk.get(
        "/v1/users", params={"email_address": ["MIA@example.COM", "A+b@example.com", "no@example.com"]}
    ).json()
    assert {user["id"] for user in by_address} == {USER, "user_plus"}
    assert clerk.get("/v1/users", params={"user_id": USER, "email_address": "other@example.com"}).json() == []


def test_users_come_in_pages(clerk: httpx.Client, sandbox: Sandbox) -> None:
    """A list of users is a bare array of ten, or as many as requested, and each user is on one page only."""
    sandbox.learn((f"user_page{number}", f"page{number}@example.com") for number in range(120))
    assert len(clerk.get("/v1/users").json()) == 10
    ids = [f"user_page{number}" for number in range(100)]
    assert len(clerk.get("/v1/users", params={"user_id": ids, "limit": 100}).json()) == 100
    pages = [clerk.get("/v1/users", params={"user_id": ids, "limit": 60, "offset": at}).json() for at in (0, 60)]
    assert sorted(user["id"] for page in pages for user in page) == sorted(ids)
    assert clerk.get("/v1/users/count", params={"user_id": ids}).json() == {
        "object": "total_count",
        "total_count": 100,
    }


@pytest.mark.parametrize(
    "params",
    [{"limit": "501"}, {"limit": "0"}, {"limit": "x"}, {"offset": "-1"}, {"limit": "9" * 400}],
)
def test_a_page_out_of_bounds_is_refused(clerk: httpx.Client, params: dict[str, str]) -> None:
    """A limit above 500 and values that are not numbers are answered with 422."""
    assert clerk.get("/v1/users", params=params).status_code == 422


def test_more_than_a_hundred_ids_are_refused(clerk: httpx.Client) -> None:
    """A call with more than a hundred ids or addresses is refused."""
    ids = [f"user_{number}" for number in range(101)]
    refused(clerk.get("/v1/users", params={"user_id": ids}), 422, "form_param_value_invalid")
    refused(clerk.get("/v1/users", params={"email_address": ids}), 422, "form_param_value_invalid")


def test_a_user_can_be_made(clerk: httpx.Client) -> None:
    """A user that is created by the API has its names, can get a token, and is the only one with its address."""
    body = {"email_address": ["new@example.com"], "first_name": "Nia", "skip_password_requirement": True}
    made = clerk.post("/v1/users", json=body).json()
    assert (made["first_name"], made["email_addresses"][0]["email_address"]) == ("Nia", "new@example.com")
    assert made["primary_email_address_id"] == made["email_addresses"][0]["id"]
    assert clerk.get(f"/v1/users/{made['id']}").json() == made
    assert clerk.post("/v1/sign_in_tokens", json={"user_id": made["id"]}).status_code == 200
    body["email_address"] = ["NEW@example.com"]
    refused(clerk.post("/v1/users", json=body), 422, "form_identifier_exists")
    refused(clerk.post("/v1/users", json={"email_address": []}), 422, "form_data_missing")
    refused(clerk.post("/v1/users", json={"email_address": ["no address"]}), 422, "form_param_format_invalid")
    refused(clerk.post("/v1/users", json={"email_address": "a@example.com"}), 422, "form_param_format_invalid")


def test_the_waitlist_can_be_worked_through(clerk: httpx.Client) -> None:
    """Waitlist entries are added once per address, listed by status, invited and rejected; none becomes a user."""
    entry = clerk.post("/v1/waitlist_entries", json={"email_address": "wait@example.com"}).json()
    assert (entry["object"], entry["status"]) == ("waitlist_entry", "pending")
    assert clerk.post("/v1/waitlist_entries", json={"email_address": "Wait@example.com"}).json() == entry
    listed = clerk.get("/v1/waitlist_entries", params={"status": "pending"}).json()
    assert listed == {"data": [entry], "total_count": 1}
    invited = clerk.post(f"/v1/waitlist_entries/{entry['id']}/invite", json={}).json()
    assert (invited["id"], invited["status"]) == (entry["id"], "invited")
    assert clerk.post(f"/v1/waitlist_entries/{entry['id']}/reject").json()["status"] == "rejected"
    assert clerk.get("/v1/waitlist_entries", params={"status": "pending"}).json()["total_count"] == 0
    assert clerk.get("/v1/users", params={"email_address": "wait@example.com"}).json() == []
    refused(clerk.post("/v1/waitlist_entries", json={}), 422, "form_param_missing")
    refused(clerk.get("/v1/waitlist_entries", params={"status": "x"}), 422, "form_param_value_invalid")


def test_a_limited_sandbox_shuts_after_a_hundred_requests(tmp_path: Path) -> None:
    """With Clerk's limits on, the 101st request within ten seconds gets 429 with `Retry-After`."""

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state", clerk_limits=True) as sandbox:
            headers = {"Authorization": f"Bearer {sandbox.secret_key}"}
            async with httpx.AsyncClient(
                base_url=sandbox.clerk_url, headers=headers, trust_env=False, verify=NO_TLS
            ) as clerk:
                for _ in range(100):
                    assert (await clerk.get("/v1/users")).status_code == 200
                answer = await clerk.get("/v1/users")
                refused(answer, 429, "too_many_requests")
                assert 1 <= int(answer.headers["retry-after"]) <= 10

    asyncio.run(scenario())


def test_a_limit_opens_again_after_its_window() -> None:
    """A limit refuses requests beyond its count, names the seconds left, and allows requests again after these."""
    moment = 100.0
    limit = ClerkLimit(2, 10, now=lambda: moment)
    limit.spend()
    moment = 103.5
    limit.spend()
    with pytest.raises(ApiError) as refusal:
        limit.spend()
    assert refusal.value.headers == {"Retry-After": "7"}
    moment = 110.0
    limit.spend()
    limit.spend()
    with pytest.raises(ApiError):
        limit.spend()


def test_a_foreign_host_name_is_turned_away(clerk: httpx.Client) -> None:
    """A request with a foreign Host header is refused, so that no foreign page can read the data (DNS rebinding)."""
    assert clerk.get("/v1/users", headers={"Host": "evil.example"}).status_code == 421
    assert clerk.get("/v1/users", headers={"Host": "127.0.0.1.evil.example:8025"}).status_code == 421
    for host in ("localhost:8025", "127.0.0.1", "[::1]:8025", "sandbox.localhost"):
        assert clerk.get("/v1/users", headers={"Host": host}).status_code == 200


def test_the_waitlist_is_served_in_the_order_that_is_asked_for(clerk: httpx.Client) -> None:
    """Entries come newest first, or in another order of Clerk's."""
    for name in ("b", "a", "c"):
        clerk.post("/v1/waitlist_entries", json={"email_address": f"{name}@order.example"})

    def names(**query: str) -> str:
        found = clerk.get("/v1/waitlist_entries", params={"limit": "500", **query}).json()["data"]
        addresses = [str(entry["email_address"]) for entry in found]
        return "".join(address[0] for address in addresses if address.endswith("@order.example"))

    assert (names(), names(order_by="+created_at"), names(order_by="email_address")) == ("cab", "bac", "abc")
    assert (names(order_by="created_at"), names(order_by="-email_address")) == ("bac", "cba")
    refused(clerk.get("/v1/waitlist_entries", params={"order_by": "status"}), 422, "form_param_value_invalid")
    refused(clerk.get("/v1/waitlist_entries", params={"order_by": "+-created_at"}), 422, "form_param_value_invalid")


def test_clerk_makes_no_user_for_an_address_of_that_fate(clerk: httpx.Client) -> None:
    """An address with `+nouser` stays without a user."""
    body = {"email_address": ["frances+nouser@example.com"], "skip_password_requirement": True}
    refused(clerk.post("/v1/users", json=body), 403, "not_allowed_access")


def test_a_waitlist_to_try_is_put_into_an_empty_one(tmp_path: Path) -> None:
    """Twelve imaginary people join once; one of them is a user, and one is invited."""

    async def filled() -> tuple[Sequence[WaitlistEntry], list[User]]:
        async with Sandbox(tmp_path) as fresh:
            fresh.fill_waitlist()
            fresh.fill_waitlist()
            entries = fresh.state.waitlist.find(descending=False, limit=500)
            return entries, fresh.state.users.find(addresses=[entry.address for entry in entries], limit=500)

    entries, users = asyncio.run(filled())
    assert (len(entries), entries[0].address, entries[-1].address) == (12, "ada@example.com", "margaret@example.com")
    assert [entry.status for entry in entries].count("invited") == 1
    assert [user.addresses[0].address for user in users] == ["grace@example.com"]
