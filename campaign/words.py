"""A server's own words, made safe to keep and to show. What they mean is decided elsewhere."""

from __future__ import annotations

import re

from campaign.model import Receipt

#: What is kept of a reply's text (characters).
LONGEST = 200

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
# A server may quote the message that it refuses, and with it a link that signs somebody in.
_SECRET = re.compile(r"(?<=[?&;#])[^\s<>\"']+|[A-Za-z0-9_\-+/.=%]{48,}")


def printable(text: str) -> str:
    """Return the text on one line, with everything that could steer a terminal or reorder a line as a space."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())


def receipt(code: int, text: str, *, enhanced: str = "") -> Receipt:
    """Return a server's answer with safe words: one line, at most 200 characters, no query of a link, no token.

    An enhanced status code (RFC 3463) at the beginning of the text is taken out of it.
    """
    text = printable(text)
    if enhanced:
        enhanced = printable(enhanced)[:60]
    elif found := _ENHANCED.match(text):
        enhanced, text = found[1], text[found.end() :]
    return Receipt(code, enhanced, _SECRET.sub("…", text[:4000])[:LONGEST])
