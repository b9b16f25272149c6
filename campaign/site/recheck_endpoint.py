"""Ask the site whether mails are still wanted, `RecheckEndpoint.ask`: one signed POST for many keys, never repeated.

    POST {"campaign": "abandoned-cart", "step": "second", "keys": ["C-1", "C-2"]}
    X-Campaign-Signature: HMAC-SHA-256 of the body with CAMPAIGN_RECHECK_KEY, in hexadecimal
    200 {"keys": {"C-1": {"total": "42.00"}}}

A key that is not in the answer is no longer wanted. Every doubt is an error: the caller sends nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import httpx

from campaign.config.definition.sections import RESERVED
from campaign.config.server_url import tls_context
from campaign.errors import TransientError
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Requests of one endpoint at once.
_MAX_REQUESTS = 4
#: The answer about a hundred keys has a few thousand bytes.
_MAX_ANSWER_BYTES = 4_000_000
#: How deep the values of a key may be nested: a group is a list of objects.
_MAX_DEPTH = 4
#: Control characters except tab and line ends, and characters that reorder the text around them (UAX #9).
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class RecheckEndpoint:
    """A client of the site's endpoint.

    It ignores redirects and proxy variables, so that the keys are sent to `url` only.

    Args:
        url: https, or http on loopback.
        key: the secret that both sides share.
        timeout: for a whole request, in seconds.
    """

    def __init__(self, url: str, key: str, *, timeout: float) -> None:
        self._url = url
        self._key = key.encode()
        self._timeout = timeout
        #: The endpoint as messages name it, without its query.
        self.name = urlsplit(url)._replace(query="", fragment="").geturl()
        self._turn = asyncio.Semaphore(_MAX_REQUESTS)
        self._client = httpx.AsyncClient(
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "campaign",
            },
            verify=tls_context(url),
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        """Return the client; it opens connections on demand."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(self, campaign: str, step: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the keys that still stand, each with its fresh variables.

        Args:
            campaign: the campaign's name.
            step: the step's name; empty without steps.
            keys: of the recipients; none is there twice.

        Raises:
            TransientError: there is no answer, or it cannot be used; the text says why.
        """
        body = json.dumps({"campaign": campaign, "step": step, "keys": list(keys)}, ensure_ascii=False).encode()
        signature = hmac.new(self._key, body, hashlib.sha256).hexdigest()
        try:
            async with self._turn, asyncio.timeout(self._timeout):
                status, answer = await self._post(body, signature)
        except TimeoutError:
            raise self._doubt(f"gave no answer within {self._timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            why = printable(str(error)) or type(error).__name__
            raise self._doubt(f"cannot be asked: {why}") from None
        if status != 200:
            raise self._doubt(f"answered {status} instead of 200")
        try:
            return _standing(json.loads(answer, parse_constant=_refuse_constant), frozenset(keys))
        except RecursionError:
            raise self._doubt("gave an answer that is no JSON") from None
        except ValueError as error:
            is_json = isinstance(error, json.JSONDecodeError | UnicodeDecodeError)
            raise self._doubt("gave an answer that is no JSON" if is_json else f"gave {error}") from None

    async def _post(self, body: bytes, signature: str) -> tuple[int, bytes]:
        answer = bytearray()
        headers = {"X-Campaign-Signature": signature}
        async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
            if response.status_code != 200:
                return response.status_code, b""
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise httpx.RemoteProtocolError("its answer is compressed, which was not asked for")
            async for part in response.aiter_raw():
                answer += part
                if len(answer) > _MAX_ANSWER_BYTES:
                    raise httpx.RemoteProtocolError(f"its answer is larger than {_MAX_ANSWER_BYTES} bytes")
        return 200, bytes(answer)

    def _doubt(self, why: str) -> TransientError:
        return TransientError(f"the recheck endpoint {self.name} {why}")


def _standing(answer: object, asked: frozenset[str]) -> dict[str, dict[str, Any]]:
    """Return the keys of an answer with their variables.

    Raises:
        ValueError: the answer does not have the documented form; the text ends a sentence that begins with "gave".
    """
    keys = answer.get("keys") if isinstance(answer, dict) else None
    if not isinstance(keys, dict):
        raise ValueError('an answer without an object "keys"')  # noqa: TRY004 - it is a value of the wire
    if not asked.issuperset(keys):
        raise ValueError("a key that was not asked for")
    for variables in keys.values():
        if not isinstance(variables, dict):
            raise ValueError("variables that are no object")  # noqa: TRY004
        _require_usable(variables, 1)
        if taken := sorted(RESERVED.intersection(variables)):
            raise ValueError(f"the variable {taken[0]}, a name that the program itself gives to templates")
    return keys


def _refuse_constant(name: str) -> None:
    raise ValueError(f"the value {name}, which is no JSON")


def _require_usable(value: object, depth: int) -> None:
    """Raise ValueError unless a value is text, a number, or a list or object of such values."""
    if isinstance(value, str):
        if _UNSAFE.search(value):
            raise ValueError("a value with a control character")
        return
    if isinstance(value, int | float) and not isinstance(value, bool):
        return
    if isinstance(value, dict | list) and depth <= _MAX_DEPTH:
        if isinstance(value, dict):
            _require_usable(list(value), depth)
        for each in value.values() if isinstance(value, dict) else value:
            _require_usable(each, depth + 1)
        return
    raise ValueError("a value that is neither text nor a number")
