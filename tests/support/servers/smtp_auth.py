"""Run the server side of AUTH without a socket: PLAIN (RFC 4616), LOGIN, XOAUTH2, OAUTHBEARER: `credentials`."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


#: The mechanisms that take an access token.
TOKEN_MECHANISMS = ("XOAUTH2", "OAUTHBEARER")
#: What the server says in its challenge before it refuses a token (RFC 7628 §3.2.2).
TOKEN_REFUSED = base64.b64encode(b'{"status":"401","schemes":"Bearer","scope":"https://mail.example/"}').decode()


class MalformedError(Exception):
    """The client's response does not follow the mechanism, or is `*`, which cancels AUTH (RFC 4954 §4)."""


async def credentials(mechanism: str, initial: str | None, ask: Callable[[str], Awaitable[bytes]]) -> tuple[str, str]:
    """Return user and password, or user and access token.

    `ask` sends a challenge with 334 and returns the client's line.

    Raises:
        MalformedError: a response cannot be decoded.
    """
    if mechanism == "PLAIN":
        answer = initial.encode() if initial is not None else await ask("")
        parts = _decoded(answer).split("\0")
        if len(parts) != 3:
            raise MalformedError
        return parts[1], parts[2]
    if mechanism in TOKEN_MECHANISMS:
        form = {
            "XOAUTH2": r"user=([^\x01]*)\x01auth=Bearer ([^\x01]*)\x01\x01",
            "OAUTHBEARER": r"n,a=([^,]*),\x01host=[^\x01]+\x01port=\d+\x01auth=Bearer ([^\x01]*)\x01\x01",
        }[mechanism]
        found = re.fullmatch(form, _decoded((initial or "").encode()))
        if found is None:
            raise MalformedError
        return found[1].replace("=2C", ",").replace("=3D", "="), found[2]
    user = initial.encode() if initial is not None else await ask("Username:")
    password = await ask("Password:")
    return _decoded(user), _decoded(password)


def _decoded(answer: bytes) -> str:
    try:
        return base64.b64decode(answer.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise MalformedError from error
