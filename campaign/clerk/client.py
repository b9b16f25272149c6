"""Call Clerk's Backend API for sign-in tokens, users and the waitlist: `Clerk`. The client does not retry a call.

It follows Clerk's published API (https://clerk.com/docs/reference/backend-api, version 2026-05-12). Only this module
uses httpx.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import zlib
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx

from campaign.clerk.answers import ApiAnswer, refusal_of, unusable
from campaign.clerk.people import row_of, user_of
from campaign.config.server_url import tls_context
from campaign.errors import PermanentError, Scope, ServiceRefusesError, TransientError
from campaign.model import Revocation, SignInToken
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from campaign.model import ClerkUser, WaitlistRow

#: For each phase of a call. No call waits for a connection, since the number of calls at once is limited.
_CALL_TIMEOUT = httpx.Timeout(30.0, connect=15.0)
#: For a whole call, even if the answer comes slowly, byte by byte.
_CALL_TIMEOUT_S = 60.0
#: A connection that was idle for more than 5 seconds is not reused, since the server may be closing it.
_CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=5.0)
#: The answer with a batch of users has a few hundred thousand bytes.
_MAX_ANSWER_BYTES = 10_000_000
#: zlib's `wbits`: accept the gzip and zlib formats, with the largest window.
_GZIP = 47
_ABOUT_TLS = "check CLERK_API_URL, or set SSL_CERT_FILE to its CA certificate"


#: httpx logs each URL, and those of users hold their addresses.
_USERS_PATH = "/v1/users?"
#: Clerk's largest page, of users and of waitlist entries.
_LARGEST_PAGE = 500
#: Clerk creates no more users for this instance: a development instance has a limit.
_NO_MORE_USERS = "user_quota_exceeded"
logging.getLogger("httpx").addFilter(lambda record: _USERS_PATH not in record.getMessage())


class Clerk:
    """A client of one Clerk instance.

    It ignores redirects and proxy variables, so that the secret key is sent to `api_url` only.

    Args:
        api_url: the origin of the API, without `/v1`.
        secret_key: Clerk's secret key, `sk_…`.
    """

    def __init__(self, api_url: str, secret_key: str) -> None:
        self._base = httpx.URL(f"{api_url}/v1")
        self._client = httpx.AsyncClient(
            base_url=self._base,
            headers={
                "Authorization": f"Bearer {secret_key}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": "campaign",
            },
            verify=tls_context(api_url),
            timeout=_CALL_TIMEOUT,
            limits=_CONNECTIONS,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        """Return the client; it opens connections on demand."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def create_sign_in_token(
        self, user_id: str, *, expires_in: timedelta, org_id: str | None = None
    ) -> SignInToken:
        """Return a new sign-in token: `POST /v1/sign_in_tokens`.

        With `org_id` the session that the token starts has this organization open. Clerk asks that organizations are
        on and that the user is a member (https://github.com/clerk/javascript/pull/9192).

        The call has no idempotency key, so after a lost answer a token may exist whose id is unknown.

        Raises:
            PermanentError: Clerk refuses a token for this user, or in this organization (403, 404, 422).
            TransientError: a temporary error; `maybe_applied` is set if Clerk may have created a token.
            ServiceRefusesError: see `refusal_of`; also 422 for the lifetime, which is the same for all users.
        """
        body: dict[str, object] = {"user_id": user_id, "expires_in_seconds": int(expires_in.total_seconds())}
        if org_id:
            body["org_id"] = org_id
        answer = await self._call("POST", "/sign_in_tokens", json=body)
        said = answer.receipt
        if answer.status == 422 and answer.parameter == "expires_in_seconds":
            raise ServiceRefusesError(
                f"Clerk refuses the lifetime of the tokens: {said}; change link.expires_in in the campaign file"
            )
        if answer.status in {403, 404, 422}:
            whom = f"{user_id} in {org_id}" if org_id else user_id
            # an unknown user or organization, or a user who is no member of it
            skip = answer.status == 404 or org_id is not None
            raise PermanentError(f"Clerk refuses a token for {whom}: {said}", skip=skip, reply=said)
        data = answer.json if answer.status == 200 else None
        if not isinstance(data, dict):
            raise unusable(answer, scope=Scope.RECIPIENT)
        token_id, token, owner = data.get("id"), data.get("token"), data.get("user_id")
        if not (isinstance(token_id, str) and token_id and isinstance(token, str) and token and isinstance(owner, str)):
            raise TransientError(
                "Clerk's answer has no token, no token id or no user id", scope=Scope.CLERK, maybe_applied=True
            )
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise TransientError(
                "Clerk's token contains characters that are not allowed in a token",
                scope=Scope.CLERK,
                maybe_applied=True,
            )
        return SignInToken(id=token_id, token=token, user_id=owner)

    async def revoke_sign_in_token(self, token_id: str) -> Revocation:
        """Revoke a token: `POST /v1/sign_in_tokens/{id}/revoke`.

        Raises:
            TransientError: a temporary error; `maybe_applied` is set if Clerk may have revoked the token.
            ServiceRefusesError: see `refusal_of`.
        """
        answer = await self._call("POST", f"/sign_in_tokens/{quote(token_id, safe='')}/revoke")
        if answer.status == 200:
            return Revocation.REVOKED
        if answer.status == 404:
            return Revocation.UNKNOWN
        if answer.status == 400:
            return Revocation.USED
        raise unusable(answer)

    async def users_by_id(self, ids: Sequence[str]) -> list[ClerkUser]:
        """Return the users with these ids, at most 100; unknown ids are left out: `GET /v1/users?user_id=…`.

        Raises:
            PermanentError: Clerk refuses one of the ids, and does not say which (400, 422), or all of them together
                are too long for a URL (414).
            TransientError: a temporary error.
            ServiceRefusesError: see `refusal_of`.
        """
        return await self._users([("user_id", each) for each in ids])

    async def users_by_address(self, addresses: Sequence[str]) -> list[ClerkUser]:
        """Return the users that have one of these addresses, at most 100: `GET /v1/users?email_address=…`.

        Raises:
            PermanentError, TransientError, ServiceRefusesError: see `users_by_id`.
        """
        return await self._users([("email_address", each) for each in addresses])

    async def create_user(self, address: str) -> ClerkUser | None:
        """Return a new user with this address and no password, or None if the address is taken: `POST /v1/users`.

        Clerk marks the address as verified. The call has no idempotency key, so after a lost answer a look-up by
        address must say whether there is a user.

        Raises:
            PermanentError: Clerk refuses to create a user for this address.
            TransientError: a temporary error; `maybe_applied` is set if Clerk may have created the user.
            ServiceRefusesError: see `refusal_of`; also if this Clerk instance can have no more users.
        """
        body = {"email_address": [address], "skip_password_requirement": True}
        answer = await self._call("POST", "/users", json=body)
        said = answer.receipt
        if answer.status == 422 and said.enhanced == "form_identifier_exists":
            return None
        if said.enhanced == _NO_MORE_USERS:
            raise ServiceRefusesError(f"Clerk creates no more users: {said}; check the plan of your Clerk account")
        if 400 <= answer.status < 500:
            raise PermanentError(f"Clerk refuses to create a user: {said}", skip=True, reply=said)
        data = answer.json if answer.status == 200 else None
        try:
            return user_of(data)
        except (KeyError, TypeError, AttributeError):
            raise TransientError(
                f"Clerk's answer is no user: {said}", scope=Scope.CLERK, maybe_applied=True, reply=said
            ) from None

    async def waitlist(self, *, offset: int) -> tuple[list[WaitlistRow], int]:
        """Return a page of the waitlist, oldest entries first, and the number of all: `GET /v1/waitlist_entries`.

        A page has at most 500 entries; an empty one is the end.

        Raises:
            TransientError: a temporary error.
            ServiceRefusesError: see `refusal_of`; also if Clerk refuses to list the waitlist.
        """
        query = [("limit", str(_LARGEST_PAGE)), ("offset", str(offset)), ("order_by", "+created_at")]
        answer = await self._call("GET", "/waitlist_entries", params=query)
        if 400 <= answer.status < 500:
            raise ServiceRefusesError(
                f"Clerk refuses to list the waitlist: {answer.receipt}; turn it on in Clerk's Dashboard, or name a CSV "
                'with file = "…" under [recipients] instead'
            )
        data = answer.json if answer.status == 200 else None
        entries, total = (data.get("data"), data.get("total_count")) if isinstance(data, dict) else (None, None)
        if not isinstance(entries, list) or not isinstance(total, int):
            raise unusable(answer)
        return [row_of(each) for each in entries], total

    # -- inside --------------------------------------------------------------------------------------------------

    async def _users(self, query: list[tuple[str, str]]) -> list[ClerkUser]:
        # one address may belong to several users, and the default limit is 10
        answer = await self._call("GET", "/users", params=[*query, ("limit", str(_LARGEST_PAGE))])
        if answer.status in {400, 414, 422}:
            raise PermanentError(f"Clerk refuses to look the user up: {answer.receipt}", reply=answer.receipt)
        data = answer.json if answer.status == 200 else None
        if not isinstance(data, list):
            raise unusable(answer)
        try:
            return [user_of(each) for each in data]
        except (KeyError, TypeError, AttributeError) as error:
            raise TransientError(f"Clerk's list of users has no {error}", scope=Scope.CLERK) from error

    async def _call(
        self,
        method: str,
        path: str,
        **how: Any,  # noqa: ANN401 - httpx's own
    ) -> ApiAnswer:
        """Return the answer, or raise an error common to all calls."""
        try:
            answer = await self._whole_answer(method, path, **how)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if any(isinstance(cause, ssl.SSLError) for cause in (error.__cause__, error.__context__)) or (
                "CERTIFICATE" in str(error)
            ):
                raise ServiceRefusesError(
                    f"the TLS connection to Clerk at {self._base.host} is not trusted: {error}; {_ABOUT_TLS}"
                ) from None
            raise TransientError(f"Clerk cannot be reached: {error}", scope=Scope.CLERK) from None
        except httpx.InvalidURL as error:  # nothing was sent
            raise PermanentError(f"Clerk cannot be asked for this user: {printable(str(error))}") from None
        except (httpx.HTTPError, TimeoutError, zlib.error) as error:
            # Clerk may have carried out the request
            what = printable(str(error)) or f"{type(error).__name__} after at most {_CALL_TIMEOUT_S:g} s"
            raise TransientError(
                f"Clerk's answer was lost: {what}",
                scope=Scope.CLERK,
                maybe_applied=method == "POST",
            ) from None
        if refusal := refusal_of(answer, str(self._base)):
            raise refusal
        return answer

    async def _whole_answer(self, method: str, path: str, **how: Any) -> ApiAnswer:  # noqa: ANN401
        """Return Clerk's answer, read in bounded time and memory."""
        body = bytearray()
        async with asyncio.timeout(_CALL_TIMEOUT_S), self._client.stream(method, path, **how) as response:
            async for part in response.aiter_raw():
                body += part
                if len(body) > _MAX_ANSWER_BYTES:
                    raise httpx.RemoteProtocolError(f"it is larger than {_MAX_ANSWER_BYTES} bytes")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            # httpx decodes whole chunks, and a small compressed chunk can decode to any size
            body[:] = zlib.decompressobj(_GZIP).decompress(body, _MAX_ANSWER_BYTES)
        return ApiAnswer(method, response.status_code, response.reason_phrase, response.headers, bytes(body))
