"""Take a mail apart, with bounded depth, parts and memory whatever it contains: `read_parts`."""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Reports nest twice: the report, and its text in alternatives. More than this is not looked at.
_MAX_DEPTH = 5
_MAX_PARTS = 50
#: Bytes of the headers of one part that are looked at.
_MAX_HEADERS = 2**16
#: Characters of one header's value that are looked at; the standard library's parameters take quadratic time.
_MAX_VALUE = 2000
_BLANK_LINE = re.compile(rb"\r?\n\r?\n|\A\r?\n")
_PARSER = BytesHeaderParser()


@dataclass(frozen=True, slots=True)
class Headers:
    """The header fields of a mail or a part of one, or the fields of a report's block."""

    _fields: Message

    def all(self, name: str) -> list[str]:
        """Return the values of each field with this name, unfolded, at most 2,000 characters of each."""
        raw = [value for field, value in self._fields.raw_items() if field.lower() == name.lower()]
        return [" ".join(_as_utf8(str(value)[:_MAX_VALUE]).split()) for value in raw[:_MAX_PARTS]]

    def first(self, name: str) -> str:
        """Return the first field's value; empty if there is none."""
        return next(iter(self.all(name)), "")

    def decoded(self, name: str) -> str:
        """Return the first field's value with its encoded words decoded (RFC 2047)."""
        value = self.first(name)
        try:
            parts = decode_header(value)
            return "".join(
                part if isinstance(part, str) else part.decode(charset or "ascii", "replace") for part, charset in parts
            )
        except (LookupError, ValueError, MessageError):
            # An unknown character set, or bad Base64: the words stay as they are.
            return value

    @property
    def empty(self) -> bool:
        """Whether there is no field."""
        return not self._fields.keys()


def _as_utf8(value: str) -> str:
    """Return a value whose bytes that are not ASCII are read as UTF-8 (RFC 6532)."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_headers(raw: bytes) -> Headers:
    """Return the fields at the start of a text, up to the first blank line."""
    return Headers(_PARSER.parsebytes(raw[:_MAX_HEADERS]))


@dataclass(frozen=True, slots=True)
class MailPart:
    """A part of a mail that is not multipart itself; its content is not parsed further."""

    #: Lower-case, such as `message/delivery-status`.
    type: str
    headers: Headers
    #: The content, with its transfer encoding undone.
    content: bytes

    @property
    def text(self) -> str:
        """The content as text; what is not UTF-8 is replaced."""
        return self.content.decode("utf-8", "replace")

    def blocks(self, most: int = _MAX_PARTS) -> list[Headers]:
        """Return the first blocks of fields, which blank lines separate (RFC 3464 §2.1)."""
        found = (read_headers(block) for block in _split(self.content, most))
        return [block for block in found if not block.empty]


def read_parts(raw: bytes) -> tuple[Headers, str, list[MailPart]]:
    """Return a mail's headers, its content type, and its parts in order; an attached mail is one part.

    A multipart's parts stand in place of it. What is nested deeper than 5 levels, or behind the 50th part, is left out.
    """
    head, body = _head_and_body(raw)
    headers = read_headers(head)
    kind, _ = _content_type(headers, "text/plain")
    return headers, kind, list(_walk(headers, body, "text/plain", 0, [_MAX_PARTS]))


def _walk(headers: Headers, body: bytes, default: str, depth: int, left: list[int]) -> Iterator[MailPart]:
    left[0] -= 1
    kind, boundary = _content_type(headers, default)
    if not kind.startswith("multipart/") or not boundary:
        yield MailPart(kind, headers, _decoded(headers, body))
        return
    if depth == _MAX_DEPTH:
        return
    within = "message/rfc822" if kind == "multipart/digest" else "text/plain"
    for part in _between(body, boundary):
        if left[0] <= 0:
            return
        head, content = _head_and_body(part)
        yield from _walk(read_headers(head), content, within, depth + 1, left)


def _head_and_body(raw: bytes) -> tuple[bytes, bytes]:
    found = _BLANK_LINE.search(raw)
    return (raw[: found.start()], raw[found.end() :]) if found else (raw, b"")


def _between(body: bytes, boundary: str) -> Iterator[bytes]:
    """Yield what stands between the delimiter lines of a multipart (RFC 2046 §5.1.1), one at a time."""
    delimiter = re.compile(
        rb"(?:\A|\r?\n)--" + re.escape(boundary.encode("ascii", "replace")) + rb"(--)?[ \t]*(?=\r?\n|\Z)"
    )
    start = None
    for found in delimiter.finditer(body):
        if start is not None:
            yield body[start : found.start()].removeprefix(b"\r").removeprefix(b"\n")
        if found[1]:
            return
        start = found.end()
    if start is not None:
        # The mail was cut off.
        yield body[start:].removeprefix(b"\r").removeprefix(b"\n")


def _split(content: bytes, most: int) -> Iterator[bytes]:
    rest = content.lstrip(b"\r\n")
    for _ in range(most):
        if not rest:
            return
        block, rest = _head_and_body(rest)
        rest = rest.lstrip(b"\r\n")
        yield block


def _content_type(headers: Headers, default: str) -> tuple[str, str]:
    """Return the content type in lower case, and the boundary, which is empty if there is none."""
    value = headers.first("Content-Type")
    if not value:
        return default, ""
    field = Message()
    field["Content-Type"] = value
    boundary = field.get_boundary("")
    return field.get_content_type(), boundary


def _decoded(headers: Headers, body: bytes) -> bytes:
    match headers.first("Content-Transfer-Encoding").lower():
        case "base64":
            letters = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
            try:
                return base64.b64decode(letters[: len(letters) // 4 * 4] + _rest(letters))
            except binascii.Error:
                return body
        case "quoted-printable":
            return quopri.decodestring(body)
        case _:
            return body


def _rest(letters: bytes) -> bytes:
    """Return the last letters of a Base64 text, padded; nothing if the text was cut within a byte."""
    rest = letters[len(letters) // 4 * 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""
