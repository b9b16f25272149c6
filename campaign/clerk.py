"""Clerk's Backend API: sign-in tokens and users. httpx and its errors end here; nothing here waits or repeats.

The wire is Clerk's published one (https://clerk.com/docs/reference/backend-api, version 2026-05-12).
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

import httpx

from campaign.clock import SystemClock, instant
from campaign.errors import CampaignError, LaterError, NeverError, Scope, ServiceRefusesError
from campaign.model import ClerkUser, Revocation, SignInToken
from campaign.words import printable, receipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.model import Receipt

_PATIENCE = httpx.Timeout(30.0, connect=15.0)


class Clerk:
    """A client of one Clerk instance.

    Redirects are not followed and proxy variables not obeyed: the key goes to the given origin and nowhere else.

    Args:
        api_url: the origin, without `/v1`.
        secret_key: `sk_…`.
        concurrency: how many calls may be under way at once.
    """

    def __init__(self, api_url: str, secret_key: str, *, concurrency: int = 100) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"{api_url}/v1",
            headers={"Authorization": f"Bearer {secret_key}", "Accept": "application/json", "User-Agent": "campaign"},
            timeout=_PATIENCE,
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
            verify=ssl.create_default_context() if urlsplit(api_url).scheme == "https" else False,
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        """Open the client."""
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def create_sign_in_token(self, user_id: str, *, expires_in: timedelta) -> SignInToken:
        """Return a new sign-in token: `POST /v1/sign_in_tokens`.

        The call has no idempotency key, so a lost reply may leave a token that nobody can name.

        Raises:
            NeverError: Clerk does not know the user (404, 422).
            LaterError: anything temporary, with `perhaps_done` where a token may have been made.
            ServiceRefusesError: 401, 403, or a redirect.
        """
        body = {"user_id": user_id, "expires_in_seconds": int(expires_in.total_seconds())}
        # a lost token costs its recipient a try, for nobody may make tokens without end; the rest is Clerk's matter
        response = await self._call("POST", "/sign_in_tokens", json=body, scope=Scope.RECIPIENT)
        if response.status_code in {404, 422}:
            said = _receipt(response)
            unknown = response.status_code == 404
            raise NeverError(f"Clerk refuses a token for {user_id}: {said}", skip=unknown, reply=said)
        data = _json(response) if response.status_code == 200 else None
        if not isinstance(data, dict):
            raise self._unusable(response, scope=Scope.RECIPIENT)
        token_id, token, owner = data.get("id"), data.get("token"), data.get("user_id")
        if not (isinstance(token_id, str) and token_id and isinstance(token, str) and token and isinstance(owner, str)):
            raise LaterError("Clerk's answer lacks the token, its id or its user", perhaps_done=True)
        if printable(token) != token or not token.isascii():
            raise LaterError("Clerk's token holds characters that no token has", perhaps_done=True)
        return SignInToken(id=token_id, token=token, user_id=owner)

    async def revoke_sign_in_token(self, token_id: str) -> Revocation:
        """Revoke a token: `POST /v1/sign_in_tokens/{id}/revoke`.

        Raises:
            LaterError: not settled yet, with `perhaps_done` where the token may have been revoked.
            ServiceRefusesError: 401, 403, or a redirect.
        """
        response = await self._call("POST", f"/sign_in_tokens/{quote(token_id, safe='')}/revoke")
        if response.status_code == 200:
            return Revocation.REVOKED
        if response.status_code == 404:
            return Revocation.UNKNOWN
        if response.status_code == 400:
            return Revocation.USED
        raise self._unusable(response)

    async def users_by_id(self, ids: Sequence[str]) -> list[ClerkUser]:
        """Return the users among up to 100 ids that Clerk knows: `GET /v1/users?user_id=…`.

        Raises:
            NeverError: Clerk refuses one of them, and does not say which (400, 422).
            LaterError, ServiceRefusesError: as above.
        """
        return await self._users([("user_id", each) for each in ids])

    async def users_by_address(self, addresses: Sequence[str]) -> list[ClerkUser]:
        """Return the users that have one of up to 100 addresses: `GET /v1/users?email_address=…`.

        Raises:
            NeverError, LaterError, ServiceRefusesError: as above.
        """
        return await self._users([("email_address", each) for each in addresses])

    # -- inside --------------------------------------------------------------------------------------------------

    async def _users(self, query: list[tuple[str, str]]) -> list[ClerkUser]:
        # one address may belong to several users, and the default limit is 10
        response = await self._call("GET", "/users", params=[*query, ("limit", "500")])
        if response.status_code == 404:
            raise ServiceRefusesError(f"Clerk at {self._http.base_url} has no users (404); check CLERK_API_URL")
        if response.status_code in {400, 422}:
            said = _receipt(response)
            raise NeverError(f"Clerk refuses to look the user up: {said}", reply=said)
        data = _json(response) if response.status_code == 200 else None
        if not isinstance(data, list):
            raise self._unusable(response)
        try:
            return [_user(each) for each in data]
        except (KeyError, TypeError, AttributeError) as error:
            raise LaterError(f"Clerk's list of users lacks {error}", scope=Scope.CLERK) from error

    async def _call(
        self,
        method: str,
        path: str,
        *,
        scope: Scope = Scope.CLERK,
        **how: Any,  # noqa: ANN401 - httpx's own
    ) -> httpx.Response:
        """Return the response, unless it means the same for every call; `scope`: whose try a lost one costs."""
        try:
            response = await self._http.request(method, path, **how)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            if any(isinstance(cause, ssl.SSLError) for cause in (error.__cause__, error.__context__)) or (
                "CERTIFICATE" in str(error)
            ):
                raise ServiceRefusesError(f"Clerk at {self._http.base_url.host} has no trusted TLS: {error}") from None
            raise LaterError(f"Clerk cannot be reached: {error}", scope=Scope.CLERK) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # the request may have been carried out
            what = printable(str(error)) or type(error).__name__
            raise LaterError(
                f"Clerk's answer was lost: {what}",
                scope=scope,
                perhaps_done=method == "POST",
            ) from None
        if response.status_code in {401, 403} or response.is_redirect:
            raise _refusal(response)
        if response.status_code == 429:
            wait = retry_after(response.headers.get("Retry-After"), now=instant(SystemClock().now()))
            raise LaterError("Clerk asks for fewer calls (429)", scope=Scope.CLERK, wait=wait, reply=_receipt(response))
        return response

    @staticmethod
    def _unusable(response: httpx.Response, *, scope: Scope = Scope.CLERK) -> CampaignError:
        said = _receipt(response)
        faulty = response.status_code >= 500 or response.is_success
        return LaterError(
            f"Clerk's answer is of no use: {said}",
            scope=scope,
            perhaps_done=faulty and response.request.method == "POST",
            reply=said,
        )


def retry_after(value: str | None, *, now: datetime) -> timedelta | None:
    """Return the wait that a `Retry-After` header asks for, in seconds or as a date (RFC 9110 §10.2.3), or None."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value[:9]), 10**8))
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(timedelta(0), (date if date.tzinfo else date.replace(tzinfo=UTC)) - now)


def _refusal(response: httpx.Response) -> ServiceRefusesError:
    said = _receipt(response)
    if response.is_redirect:
        return ServiceRefusesError(f"Clerk answered with a redirect ({said.code}), not followed: check CLERK_API_URL")
    return ServiceRefusesError(f"Clerk refuses the key: {said}; check CLERK_SECRET_KEY and CLERK_API_URL")


def _json(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return None


def _receipt(response: httpx.Response) -> Receipt:
    data = _json(response)
    errors = data.get("errors") if isinstance(data, dict) else None
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    text = first.get("long_message") or first.get("message") or response.reason_phrase
    return receipt(response.status_code, str(text), enhanced=str(first.get("code") or ""))


def _user(data: dict[str, Any]) -> ClerkUser:
    addresses = frozenset(str(each["email_address"]).lower() for each in data["email_addresses"])
    return ClerkUser(str(data["id"]), addresses, banned=bool(data.get("banned")), locked=bool(data.get("locked")))
