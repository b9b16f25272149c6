"""Make a server's words safe to store and to show, without control characters and secrets: `receipt`, `redacted`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from campaign.model import Receipt

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The longest reply text that is stored (characters).
LONGEST = 200

#: Longer replies are cut before they are looked at (characters).
_MAX_JUDGED = 4000
#: A piece of a secret of this many characters is not kept; shorter ones are in any text.
_SHORTEST_PIECE = 8

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
# A server may quote the message that it refuses, and with it the sign-in link.
_SECRET = re.compile(r"(?<=[?&;#])[^\s<>\"']+|[A-Za-z0-9_\-+/.=%]{48,}")


def printable(text: str) -> str:
    """Return the text on one line; control characters (terminal escapes, bidirectional marks) become spaces."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())


def visible(text: str) -> str:
    """Return the text with control characters as spaces, so that a file's name cannot steer a terminal; lines stay."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in "\n\t" else " " for letter in text)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text of at most 200 characters on one line, without URL queries, tokens and the pieces of secrets.

    Args:
        text: a server's words.
        secrets: what the server was told, and might quote in pieces.
    """
    text = printable(text[:_MAX_JUDGED])
    for secret in secrets:
        text = _without(text, secret)
    return _SECRET.sub("…", text)[:LONGEST]


def receipt(code: int, text: str, *, enhanced: str = "", secrets: Iterable[str] = ()) -> Receipt:
    """Return a server's reply with a safe text, see `redacted`.

    An enhanced status code (RFC 3463) at the beginning of the text is moved to its own field.
    """
    text = printable(text[:_MAX_JUDGED])
    if enhanced:
        enhanced = printable(enhanced)[:60]
    elif found := _ENHANCED.match(text):
        enhanced, text = found[1], text[found.end() :]
    return Receipt(code, enhanced, redacted(text, secrets))


def _without(text: str, secret: str) -> str:
    """Return a text in which … stands for each piece of a secret, also for one with other characters in between."""
    letters = set(secret)
    places = [place for place, letter in enumerate(text) if letter in letters]
    quoted = "".join([text[place] for place in places])
    length = min(_SHORTEST_PIECE, len(secret))
    starts = [start for start in range(len(quoted) - length + 1) if quoted[start : start + length] in secret]
    if not starts or not secret:
        return text
    parts, end = [], 0
    for start in starts:
        first, last = places[start], places[start + length - 1] + 1
        if first >= end:
            parts += [text[end:first], "…"]
        end = last
    return "".join([*parts, text[end:]])
