"""Make a server's reply safe to store and to show, without control characters and secrets: `receipt`, `printable`."""

from __future__ import annotations

import re

from campaign.model import Receipt

#: The longest reply text that is stored (characters).
LONGEST = 200

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
# A server may quote the message that it refuses, and with it the sign-in link.
_SECRET = re.compile(r"(?<=[?&;#])[^\s<>\"']+|[A-Za-z0-9_\-+/.=%]{48,}")


def printable(text: str) -> str:
    """Return the text on one line; control characters (terminal escapes, bidirectional marks) become spaces."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())


def receipt(code: int, text: str, *, enhanced: str = "") -> Receipt:
    """Return a server's reply with a safe text: one line, at most 200 characters, no URL query and no token.

    An enhanced status code (RFC 3463) at the beginning of the text is moved to its own field.
    """
    text = printable(text)
    if enhanced:
        enhanced = printable(enhanced)[:60]
    elif found := _ENHANCED.match(text):
        enhanced, text = found[1], text[found.end() :]
    return Receipt(code, enhanced, _SECRET.sub("…", text[:4000])[:LONGEST])
