"""Encode a body as bytes: `quoted_printable`, or `eight_bit` if the text allows it."""

from __future__ import annotations

import re
from binascii import b2a_qp

#: RFC 5321 §4.5.3.1.6 without CRLF, and RFC 2045 §6.7 (5).
MAX_LINE = 998
_MAX_ENCODED_LINE = 76

#: Beginnings of a line that a mail relay might change.
_GUARDED = (b".", b"From ")

_SURROGATES = re.compile(r"[\ud800-\udfff]")


def with_newlines(text: str) -> str:
    """Return a text whose line breaks are all newlines."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def utf8(text: str) -> bytes:
    """Return a text in UTF-8; a lone surrogate becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text).encode()


def quoted_printable(text: str) -> bytes:
    """Return a text with newlines in quoted-printable (RFC 2045 §6.7): lines of at most 76 bytes, CRLF between them.

    No line begins with a full stop or with `From `, so that no mail relay has to change it.
    """
    return b"\r\n".join(map(_encoded, text.split("\n")))


def _encoded(line: str) -> bytes:
    """Return one line encoded; if it is long, on several lines."""
    encoded = b2a_qp(utf8(line))
    if encoded.startswith(_GUARDED) or b"\n." in encoded or b"\nFrom " in encoded:
        return b"\r\n".join(map(_guarded, encoded.split(b"\n")))
    return encoded.replace(b"\n", b"\r\n")


def _guarded(line: bytes) -> bytes:
    """Encode the first byte of an encoded line too if it is guarded; if the line gets too long, split it."""
    if not line.startswith(_GUARDED):
        return line
    first = b"=%02X" % line[0]
    if len(line) + 2 <= _MAX_ENCODED_LINE:
        return first + line[1:]
    return first + b"=\r\n" + _guarded(line[1:])


def eight_bit(text: str) -> bytes | None:
    """Return a text with newlines as 8bit data (RFC 2045 §2.8), CRLF between lines, or None if 8bit is not allowed.

    8bit allows no NUL and no line of more than 998 bytes.
    """
    encoded = utf8(text)
    if b"\0" in encoded:
        return None
    begin, last = 0, len(encoded) - MAX_LINE
    while begin < last:  # jump to the last line that begins within 998 bytes
        begin = encoded.rfind(b"\n", begin, begin + MAX_LINE + 1) + 1
        if not begin:
            return None
    return encoded.replace(b"\n", b"\r\n")
