"""Run the server side of AUTH: PLAIN (RFC 4616) and LOGIN, without a socket: `credentials`."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class MalformedError(Exception):
    """The client's response does not follow the mechanism, or is `*`, which cancels AUTH (RFC 4954 §4)."""


async def credentials(mechanism: str, initial: str | None, ask: Callable[[str], Awaitable[bytes]]) -> tuple[str, str]:
    """Return user and password; `ask` sends a challenge with 334 and returns the client's line.

    Raises:
        MalformedError: a response cannot be decoded.
    """
    if mechanism == "PLAIN":
        answer = initial.encode() if initial is not None else await ask("")
        parts = _decoded(answer).split("\0")
        if len(parts) != 3:
            raise MalformedError
        return parts[1], parts[2]
    user = initial.encode() if initial is not None else await ask("Username:")
    password = await ask("Password:")
    return _decoded(user), _decoded(password)


def _decoded(answer: bytes) -> str:
    try:
        return base64.b64decode(answer.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise MalformedError from error
