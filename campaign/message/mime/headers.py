"""Write header fields as bytes: plain ASCII unchanged, all other text as encoded words (RFC 2047).

The folding of Python's `email` is not used: an encoded word in the data can make it write an additional header
(CVE-2024-6923). `mime_template.py` chooses the headers of a message.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from datetime import UTC, datetime
from functools import lru_cache

from campaign.config.address import normalise_address
from campaign.errors import RowError

#: RFC 5322 §2.1.1 limits a line to 998 characters; a longer subject is certainly a mistake.
MAX_LENGTH = 998
#: RFC 2047 §2: characters of a line with an encoded word, and of the encoded word.
_MAX_ENCODED_LINE = 76
_MAX_ENCODED_WORD = 75
_OPENING, _CLOSING = "=?utf-8?B?", "?="

#: Blanks and line breaks of any kind become one space.
_BREAKS = re.compile(r"[\t-\r\x1c-\x1e\x85\u2028\u2029]+")
#: Control characters, and bidirectional embeddings, overrides and isolates, which make a text look like another one.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
#: A word with the blanks before it.
_WORDS = re.compile(r" *[^ ]+")
_FOLD = "\r\n "
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
#: A dot-atom at a domain in ASCII (RFC 5322 §3.4.1).
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_MAX_ADDRESS = 254
_MAILBOX = re.compile(r"(.*?)\s*<([^<>]*)>", re.DOTALL)

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def one_line(text: str) -> str:
    """Return a text for a header: on one line, without control characters, without blanks at both ends."""
    if text.isascii() and text.isprintable():
        return text.strip()
    text = _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
    return _CONTROLS.sub("", _BREAKS.sub(" ", text)).strip()


def unstructured(name: str, text: str) -> bytes:
    """Return the field `name` (RFC 5322 §2.2.1) with a text from `one_line`, folded, with CRLF.

    Raises:
        RowError: the text is empty or longer than 998 characters.
    """
    if text.isascii() and "=?" not in text and 0 < len(text) <= _MAX_ENCODED_LINE - 2 - len(name):
        return f"{name}: {text}\r\n".encode("ascii")
    if not text:
        raise RowError(f"The {name.lower()} is empty; give it a text.")
    if len(text) > MAX_LENGTH:
        raise RowError(
            f"The {name.lower()} has {len(text)} characters; at most {MAX_LENGTH} can be sent. "
            "Shorten it, for example with the filter truncate."
        )
    plain = text.isascii() and "=?" not in text
    lines = (plain and _folded(text, len(name) + 2)) or encoded_words(text, len(name) + 2)
    return _field(name, lines)


def mailbox(name: str, text: str) -> bytes:
    """Return the field `name` with one mailbox: `hello@acme.example` or `Acme <hello@acme.example>`.

    Raises:
        ValueError: the text is not one mailbox with a plain ASCII address; the message is a sentence.
    """
    display, address = split_mailbox(text)
    used = len(name) + 2
    lines: list[str] = []
    if display.isascii() and "=?" not in display:
        quoted = display if _ATOMS.fullmatch(display) else '"' + re.sub(r'(["\\])', r"\\\1", display) + '"'
        lines = _folded(quoted, used)
    if not display:
        return _field(name, [address])
    lines = lines or encoded_words(display, used)
    if (used if len(lines) == 1 else 1) + len(lines[-1]) + len(address) + 3 > _MAX_ENCODED_LINE:
        return _field(name, [*lines, f"<{address}>"])
    return _field(name, [*lines[:-1], f"{lines[-1]} <{address}>"])


def split_mailbox(text: str) -> tuple[str, str]:
    """Return a mailbox's display name, unquoted, on one line and with single blanks, and its address.

    Raises:
        ValueError: the text is not one mailbox with a plain ASCII address; the message is a sentence.
    """
    found = _MAILBOX.fullmatch(text.strip())
    display, address = (found[1], found[2]) if found else ("", text.strip())
    if not address.isascii():
        address = normalise_address(address)
    if not is_address(address):
        raise ValueError(f"{text!r} is not exactly one mailbox; write it like Acme <hello@acme.example>.")
    if len(display) > 1 and display[0] == display[-1] == '"':
        display = re.sub(r"\\(.)", r"\1", display[1:-1])
    return re.sub(" +", " ", one_line(display)), address


def is_address(text: str) -> bool:
    """Return whether a text is one plain ASCII address that is valid in a header without encoding."""
    # with `=?` a reader could take it for an encoded word
    return len(text) <= _MAX_ADDRESS and "=?" not in text and _ADDRESS.fullmatch(text) is not None


@lru_cache(maxsize=8)
def date(when: datetime) -> bytes:
    """Return the Date field (RFC 5322 §3.3) of an aware datetime, in UTC."""
    when = when.astimezone(UTC)
    return (
        f"Date: {_DAYS[when.weekday()]}, {when.day:02} {_MONTHS[when.month - 1]} {when.year:04} "
        f"{when.hour:02}:{when.minute:02}:{when.second:02} +0000\r\n"
    ).encode("ascii")


def encoded_words(text: str, used: int) -> list[str]:
    """Return a text as encoded words (RFC 2047 §2), one per line.

    No character is split between two words (§5 (3)), and blanks between two words are not part of the text (§6.2).

    Args:
        text: any text without lone surrogates.
        used: the columns that are already used on the first line.
    """
    room = _octets_in(_MAX_ENCODED_LINE - used)
    if len(whole := text.encode()) <= room:
        return [_encoded_word(whole)]
    words: list[str] = []
    encoded = bytearray()
    for character in text:
        more = character.encode()
        if len(encoded) + len(more) > room:
            words.append(_encoded_word(encoded))
            encoded.clear()
            room = _octets_in(_MAX_ENCODED_LINE - 1)
        encoded += more
    words.append(_encoded_word(encoded))
    return words


def _octets_in(columns: int) -> int:
    return (min(columns, _MAX_ENCODED_WORD) - len(_OPENING) - len(_CLOSING)) // 4 * 3


def _encoded_word(encoded: bytes | bytearray) -> str:
    return f"{_OPENING}{b2a_base64(encoded, newline=False).decode('ascii')}{_CLOSING}"


def _folded(text: str, used: int) -> list[str]:
    """Return the lines of a text, folded before words; an empty list if a word is too long for a line."""
    lines: list[str] = []
    line = ""
    for word in _WORDS.findall(text):
        if line and used + len(line) + len(word) > _MAX_ENCODED_LINE:
            lines.append(line)
            line, used = word[1:], 1
        else:
            line += word
        if used + len(line) > _MAX_ENCODED_LINE:
            return []
    return [*lines, line]


def _field(name: str, lines: list[str]) -> bytes:
    return f"{name}: {_FOLD.join(lines)}\r\n".encode("ascii")
