"""AUTH as a server sees it: PLAIN (RFC 4616) and LOGIN, decoded and compared. No socket here."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class MalformedError(Exception):
    """The client's answer is not what the mechanism says, or `*`, its way to give up."""


async def credentials(mechanism: str, initial: str | None, ask: Callable[[str], Awaitable[bytes]]) -> tuple[str, str]:
    """Return user and password; `ask` sends a challenge with 334 and returns the client's line.

    Raises:
        MalformedError: the answers cannot be decoded.
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
