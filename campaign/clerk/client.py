"""Call Clerk's Backend API for sign-in tokens and users: `Clerk`. The client does not retry a call.

It follows Clerk's published API (https://clerk.com/docs/reference/backend-api, version 2026-05-12). Only this module
uses httpx.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx

from campaign.clock import SystemClock, instant
from campaign.errors import CampaignError, PermanentError, Scope, ServiceRefusesError, TransientError
from campaign.model import ClerkUser, Revocation, SignInToken
from campaign.words import printable, receipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.model import Receipt

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
            verify=ssl.create_default_context(),
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

    async def create_sign_in_token(self, user_id: str, *, expires_in: timedelta) -> SignInToken:
        """Return a new sign-in token: `POST /v1/sign_in_tokens`.

        The call has no idempotency key, so after a lost answer a token may exist whose id is unknown.

        Raises:
            PermanentError: Clerk does not know the user (404, 422).
            TransientError: a temporary error; `maybe_applied` is set if Clerk may have created a token.
            ServiceRefusesError: 401, 403, or a redirect.
        """
        body = {"user_id": user_id, "expires_in_seconds": int(expires_in.total_seconds())}
        # a lost answer costs the recipient an attempt, to bound the number of tokens; other errors have Clerk's scope
        answer = await self._call("POST", "/sign_in_tokens", json=body, scope=Scope.RECIPIENT)
        if answer.status in {404, 422}:
            said = answer.receipt
            raise PermanentError(f"Clerk refuses a token for {user_id}: {said}", skip=answer.status == 404, reply=said)
        data = answer.json if answer.status == 200 else None
        if not isinstance(data, dict):
            raise self._unusable(answer, scope=Scope.RECIPIENT)
        token_id, token, owner = data.get("id"), data.get("token"), data.get("user_id")
        if not (isinstance(token_id, str) and token_id and isinstance(token, str) and token and isinstance(owner, str)):
            raise TransientError("Clerk's answer has no token, no token id or no user id", maybe_applied=True)
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise TransientError(
                "Clerk's token contains characters that are not allowed in a token", maybe_applied=True
            )
        return SignInToken(id=token_id, token=token, user_id=owner)

    async def revoke_sign_in_token(self, token_id: str) -> Revocation:
        """Revoke a token: `POST /v1/sign_in_tokens/{id}/revoke`.

        Raises:
            TransientError: a temporary error; `maybe_applied` is set if Clerk may have revoked the token.
            ServiceRefusesError: 401, 403, or a redirect.
        """
        answer = await self._call("POST", f"/sign_in_tokens/{quote(token_id, safe='')}/revoke")
        if answer.status == 200:
            return Revocation.REVOKED
        if answer.status == 404:
            return Revocation.UNKNOWN
        if answer.status == 400:
            return Revocation.USED
        raise self._unusable(answer)

    async def users_by_id(self, ids: Sequence[str]) -> list[ClerkUser]:
        """Return the users with these ids, at most 100; unknown ids are left out: `GET /v1/users?user_id=…`.

        Raises:
            PermanentError: Clerk refuses one of the ids, and does not say which (400, 422).
            TransientError: a temporary error.
            ServiceRefusesError: 401, 403, or a redirect.
        """
        return await self._users([("user_id", each) for each in ids])

    async def users_by_address(self, addresses: Sequence[str]) -> list[ClerkUser]:
        """Return the users that have one of these addresses, at most 100: `GET /v1/users?email_address=…`.

        Raises:
            PermanentError, TransientError, ServiceRefusesError: see `users_by_id`.
        """
        return await self._users([("email_address", each) for each in addresses])

    # -- inside --------------------------------------------------------------------------------------------------

    async def _users(self, query: list[tuple[str, str]]) -> list[ClerkUser]:
        # one address may belong to several users, and the default limit is 10
        answer = await self._call("GET", "/users", params=[*query, ("limit", "500")])
        if answer.status in {400, 422}:
            raise PermanentError(f"Clerk refuses to look the user up: {answer.receipt}", reply=answer.receipt)
        data = answer.json if answer.status == 200 else None
        if not isinstance(data, list):
            raise self._unusable(answer)
        try:
            return [_user(each) for each in data]
        except (KeyError, TypeError, AttributeError) as error:
            raise TransientError(f"Clerk's list of users has no {error}", scope=Scope.CLERK) from error

    async def _call(
        self,
        method: str,
        path: str,
        *,
        scope: Scope = Scope.CLERK,
        **how: Any,  # noqa: ANN401 - httpx's own
    ) -> _Answer:
        """Return the answer, or raise an error common to all calls; `scope` is for the error of a lost answer."""
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
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, zlib.error) as error:
            # Clerk may have carried out the request
            what = printable(str(error)) or f"{type(error).__name__} after at most {_CALL_TIMEOUT_S:g} s"
            raise TransientError(
                f"Clerk's answer was lost: {what}",
                scope=scope,
                maybe_applied=method == "POST",
            ) from None
        if answer.status in {401, 403} or 300 <= answer.status < 400:
            raise _refusal(answer)
        if answer.status == 404 and not answer.receipt.enhanced:
            raise ServiceRefusesError(f"{self._base} is not Clerk's API (404); check CLERK_API_URL")
        if answer.status == 429:
            wait = retry_after(answer.headers.get("Retry-After"), now=instant(SystemClock().now()))
            raise TransientError(
                "Clerk's rate limit is reached (429)", scope=Scope.CLERK, wait=wait, reply=answer.receipt
            )
        return answer

    async def _whole_answer(self, method: str, path: str, **how: Any) -> _Answer:  # noqa: ANN401
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
        return _Answer(method, response.status_code, response.reason_phrase, response.headers, bytes(body))

    @staticmethod
    def _unusable(answer: _Answer, *, scope: Scope = Scope.CLERK) -> CampaignError:
        faulty = answer.status >= 500 or answer.status < 300
        return TransientError(
            f"Clerk's answer cannot be used: {answer.receipt}",
            scope=scope,
            maybe_applied=faulty and answer.method == "POST",
            reply=answer.receipt,
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """The complete answer to a call."""

    method: str
    status: int
    phrase: str
    headers: httpx.Headers
    body: bytes

    @property
    def json(self) -> object:
        """The JSON value of the body; None if the body is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def receipt(self) -> Receipt:
        """The status and Clerk's error text."""
        data = self.json
        errors = data.get("errors") if isinstance(data, dict) else None
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
        text = first.get("long_message") or first.get("message") or self.phrase
        return receipt(self.status, str(text), enhanced=str(first.get("code") or ""))


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


def _refusal(answer: _Answer) -> ServiceRefusesError:
    said = answer.receipt
    if 300 <= answer.status < 400:
        return ServiceRefusesError(
            f"Clerk answered with a redirect ({said.code}), which was not followed; check CLERK_API_URL"
        )
    return ServiceRefusesError(f"Clerk refuses the key: {said}; check CLERK_SECRET_KEY and CLERK_API_URL")


def _user(data: dict[str, Any]) -> ClerkUser:
    addresses = {str(each["email_address"]).lower(): _is_verified(each) for each in data["email_addresses"]}
    return ClerkUser(
        str(data["id"]),
        frozenset(addresses),
        frozenset(address for address, verified in addresses.items() if verified),
        banned=bool(data.get("banned")),
        locked=bool(data.get("locked")),
    )


def _is_verified(address: dict[str, Any]) -> bool:
    """Return whether Clerk has verified an address; before that, `verification` is null or has another status."""
    verification = address.get("verification")
    return isinstance(verification, dict) and verification.get("status") == "verified"
