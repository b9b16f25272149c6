"""Parse a mail into decoded headers, bodies, attachments and faults: `read_letter`."""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import MIMEPart


class UnreadableError(Exception):
    """The bytes cannot be parsed as a mail; the message says why, without a full stop."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is neither the text body nor the HTML body."""

    name: str
    media_type: str
    content: bytes
    #: The Content-ID by which the HTML refers to it (`cid:`, RFC 2392); may be empty.
    content_id: str


@dataclass(frozen=True, slots=True)
class Letter:
    """The content of a mail."""

    #: Name and decoded value, in the mail's order.
    headers: tuple[tuple[str, str], ...]
    html: str | None
    text: str | None
    attachments: tuple[Attachment, ...]
    #: The mail's faults that did not prevent parsing.
    faults: tuple[str, ...]

    def header(self, name: str) -> str:
        """Return the first header of this name, or an empty string."""
        return next((value for found, value in self.headers if found.lower() == name.lower()), "")


def read_letter(content: bytes) -> Letter:
    """Return the parsed mail.

    Raises:
        UnreadableError: the bytes cannot be parsed.
    """
    # The parser of the standard library reports most faults as defects, but raises various exceptions for some.
    try:
        message = email.message_from_bytes(content, policy=email.policy.default)
        headers = tuple((_clean(name), _value(message, name, raw)) for name, raw in message.raw_items())
        faults: list[str] = []
        html, text, attachments = _bodies(message, faults)
        faults += dict.fromkeys(_sentence(defect) for part in message.walk() for defect in part.defects)
    except Exception as error:
        raise UnreadableError(f"the parser gave up ({type(error).__name__}: {error})") from error
    if not headers:
        raise UnreadableError(faults[0] if faults else "it has no headers")
    if html is None and text is None and not attachments:
        raise UnreadableError(faults[0] if faults else "there is nothing behind its headers")
    return Letter(headers, html, text, attachments, tuple(faults))


def _bodies(message: MIMEPart, faults: list[str]) -> tuple[str | None, str | None, tuple[Attachment, ...]]:
    html: str | None = None
    text: str | None = None
    attachments: list[Attachment] = []
    for part in _leaves(message):
        media_type = part.get_content_type()
        attached = part.get_content_disposition() == "attachment"
        if media_type == "text/html" and html is None and not attached:
            html = _text(part, faults)
        elif media_type == "text/plain" and text is None and not attached:
            text = _text(part, faults)
        else:
            attachments.append(_attachment(part, len(attachments) + 1))
    return html, text, tuple(attachments)


def _leaves(part: MIMEPart) -> Iterator[MIMEPart]:
    """Yield the parts that have content; an attached mail (message/rfc822) counts as one part."""
    if part.get_content_maintype() != "multipart":
        yield part
    elif part.is_multipart():
        for inner in part.iter_parts():
            yield from _leaves(inner)


def _text(part: MIMEPart, faults: list[str]) -> str:
    content = _content(part)
    charset = part.get_content_charset("utf-8")
    try:
        return _clean(content.decode(charset, "replace")).replace("\r\n", "\n")
    except LookupError:
        faults.append(f"its {part.get_content_type()} part is in {charset!r}, a character set that nobody knows")
        return content.decode("utf-8", "replace").replace("\r\n", "\n")


def _attachment(part: MIMEPart, number: int) -> Attachment:
    content_id = str(part.get("Content-ID", "")).strip().strip("<>")
    name = _clean(part.get_filename() or content_id or f"part {number}")
    return Attachment(name, part.get_content_type(), _content(part), content_id)


def _content(part: MIMEPart) -> bytes:
    if part.is_multipart():
        return part.as_bytes()
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _value(message: MIMEPart, name: str, raw: object) -> str:
    try:
        return _clean(str(message.policy.header_fetch_parse(name, str(raw))))
    except Exception:  # noqa: BLE001 - whatever the parser chokes on is shown as it stands
        return _clean(str(raw))


def _sentence(defect: object) -> str:
    words = " ".join((type(defect).__doc__ or type(defect).__name__).split()).rstrip(".")
    return words[:1].lower() + words[1:]


def _clean(text: str) -> str:
    """Return the text without lone surrogates, which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode("utf-8")
