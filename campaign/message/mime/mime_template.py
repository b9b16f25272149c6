"""Build the MIME structure of a message once and fill it in for each recipient: `MimeTemplate.fill`.

The standard library builds the fixed parts. `renderer.py` renders the subject and the bodies.
"""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.policy import SMTP
from typing import TYPE_CHECKING, NamedTuple

from campaign.errors import RowError
from campaign.message.mime import bodies, headers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_TEXT, _HTML = b"@text@", b"@html@"
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+>")
#: RFC 5322 §2.1.1.
_MAX_LINE = 998
#: What each delimiter line begins with (RFC 2046 §5.1.1): two hyphens, and the beginning of every boundary.
_BEFORE_BOUNDARY = b"--=_"
# A field's value as it may be sent: printable ASCII; after each fold a printable character that is not a space.
_VALUE = rb"[!-~][ -~]*(?:\r\n +[!-~][ -~]*)*"


class Delimiters(NamedTuple):
    """The lines, without CRLF, that begin a part of multipart/related and of multipart/mixed."""

    related: bytes
    mixed: bytes


class _Shape(NamedTuple):
    """What decides about the bytes around the bodies."""

    #: The Content-Transfer-Encoding of each body.
    text: str
    html: str
    images: bool
    attachments: bool


class _Parts(NamedTuple):
    """The bytes after the varying headers, up to the last boundary, split at the bodies and at the files."""

    before_text: bytes
    before_html: bytes
    after_html: bytes
    after_images: bytes
    after_attachments: bytes


class MimeTemplate:
    """A multipart/alternative message with its fixed headers, the text part first, the HTML part second.

    Images are in a multipart/related with the HTML (RFC 2387), and attachments in a multipart/mixed around it all:
    mixed (alternative (text, related (HTML, images)), attachments).

    Args:
        sender: one mailbox, as `headers.mailbox` parses it.
        reply_to: likewise; None: the message has no Reply-To.
        list_id: the value of List-Id (RFC 2919).
        feedback_id: the value of Feedback-ID; None: the message has none.
        one_click: whether the messages have List-Unsubscribe and List-Unsubscribe-Post (RFC 8058).
        boundary: the boundary of the bodies; it must begin with `=_`, which never occurs in a quoted-printable or
            base64 body (RFC 2045 §6.7 (5)).

    Raises:
        ValueError: the sender or the Reply-To is not one mailbox with a plain address, or the List-Id is not valid.
    """

    def __init__(
        self,
        *,
        sender: str,
        reply_to: str | None,
        list_id: str,
        boundary: str,
        feedback_id: str | None = None,
        one_click: bool = False,
    ) -> None:
        self._from = headers.mailbox("From", sender)
        self._reply_to = headers.mailbox("Reply-To", reply_to) if reply_to else b""
        # no boundary is the beginning of another one (RFC 2046 §5.1.2)
        self._boundaries = tuple(f"=_{kind}{boundary.removeprefix('=_')}" for kind in ("", "r_", "m_"))
        #: Each part with an image or an attachment begins with one of these.
        self.delimiters = Delimiters(*(f"--{each}".encode("ascii") for each in self._boundaries[1:]))
        # RFC 3834 §5: automatic responders leave such a message alone
        lines = [f"List-Id: {list_id}", "Auto-Submitted: auto-generated"]
        lines += [f"Feedback-ID: {feedback_id}"] if feedback_id else []
        self._fixed = "".join(f"{line}\r\n" for line in lines).encode("ascii")
        names = [line.partition(":")[0] for line in lines]
        if _fields("From", *names).fullmatch(self._from + self._fixed) is None:
            raise ValueError(f"The sender {sender!r} or the List-Id {list_id!r} does not result in exactly one header.")
        self._parts: dict[_Shape, _Parts] = {}
        unsubscribe = ["List-Unsubscribe", "List-Unsubscribe-Post"] if one_click else []
        self._varying = _fields(
            "To", *(["Reply-To"] if reply_to else []), "Subject", "Date", "Message-ID", *unsubscribe
        )

    def fill(
        self,
        *,
        to: str,
        subject: str,
        date: datetime,
        message_id: str,
        text: str,
        html: str,
        eight_bit: bool,
        unsubscribe: bytes = b"",
        images: Sequence[bytes] = (),
        attachments: Sequence[bytes] = (),
    ) -> tuple[bytes, ...]:
        """Return the message in pieces, each of which ends with CRLF; no line is longer than 998 bytes.

        The images and attachments are pieces of their own, so that messages share them.

        Args:
            to: one plain ASCII address.
            subject: one line, as `headers.one_line` returns it.
            date: an aware datetime.
            message_id: the Message-ID with its angle brackets.
            text: the text body, with newlines as line breaks.
            html: the HTML body, likewise.
            eight_bit: whether 8bit bodies may be sent (RFC 6152); a body that has a line of more than 998 bytes, a NUL
                or `--=_` is still sent as quoted-printable.
            unsubscribe: both fields of `UnsubscribeLink.headers`, if the messages have them.
            images: the parts of the images that the HTML shows, with their delimiter lines.
            attachments: the parts of the attachments, likewise.

        Raises:
            RowError: the subject is empty or too long, `to` is not one plain address, or the header block would
                not contain exactly the intended headers.
            ValueError: the Message-ID is malformed.
        """
        varying = self.headers(to=to, subject=subject, date=date, message_id=message_id, unsubscribe=unsubscribe)
        text_encoding, text_bytes = self._encoded(text, eight_bit=eight_bit)
        html_encoding, html_bytes = self._encoded(html, eight_bit=eight_bit)
        parts = self._around(_Shape(text_encoding, html_encoding, bool(images), bool(attachments)))
        around = (parts.before_text, text_bytes, parts.before_html, html_bytes, parts.after_html)
        start = b"".join((self._from, varying, *around))
        pieces = (start, *images, parts.after_images, *attachments, parts.after_attachments)
        return tuple(piece for piece in pieces if piece)

    def headers(self, *, to: str, subject: str, date: datetime, message_id: str, unsubscribe: bytes = b"") -> bytes:
        """Return the headers that differ for each recipient; see `fill` for the arguments.

        Raises:
            RowError, ValueError: see `fill`.
        """
        if not headers.is_address(to):
            raise RowError(f"The address {to!r} is not one plain address that is allowed in a header.")
        if _MESSAGE_ID.fullmatch(message_id) is None or len(message_id) > _MAX_LINE - len("Message-ID: "):
            raise ValueError(f"{message_id!r} is not a Message-ID; it has the form <letters@host>.")
        varying = b"".join(
            (
                f"To: {to}\r\n".encode("ascii"),
                self._reply_to,
                headers.unstructured("Subject", subject),
                headers.date(date),
                f"Message-ID: {message_id}\r\n".encode("ascii"),
                unsubscribe,
            )
        )
        if self._varying.fullmatch(varying) is None:
            raise RowError("The headers of this message would not be exactly the intended ones.")
        return varying

    def _around(self, shape: _Shape) -> _Parts:
        if shape not in self._parts:
            self._parts[shape] = _parts(self._fixed, self._boundaries, shape)
        return self._parts[shape]

    def _encoded(self, body: str, *, eight_bit: bool) -> tuple[str, bytes]:
        """Return a body's Content-Transfer-Encoding and its bytes."""
        data = bodies.eight_bit(body) if eight_bit else None
        if data is not None and _BEFORE_BOUNDARY not in data:
            return "8bit", data
        return "quoted-printable", bodies.quoted_printable(body)


def _parts(fixed: bytes, boundaries: tuple[str, ...], shape: _Shape) -> _Parts:
    message = EmailMessage(policy=SMTP)
    message.set_content(_TEXT.decode(), charset="utf-8", cte=shape.text)
    message.add_alternative(_HTML.decode(), subtype="html", charset="utf-8", cte=shape.html)
    alternative, related, mixed = boundaries
    message.set_boundary(alternative)
    if shape.images:
        _, html = message.iter_parts()
        html.make_related(boundary=related)
        html.set_param("type", "text/html")  # RFC 2387 §3.1
    if shape.attachments:
        message.make_mixed(boundary=mixed)
    for part in message.walk():
        if part is not message:
            del part["MIME-Version"]
        inner = [each.get("Content-Transfer-Encoding") for each in part.walk()]
        # RFC 2045 §6.4: if a part is 8bit, each multipart around it must be declared 8bit too.
        if part.is_multipart() and "8bit" in inner and "Content-Transfer-Encoding" not in part:
            part["Content-Transfer-Encoding"] = "8bit"
    # The line break after a body belongs to the next boundary (RFC 2046 §5.1.1).
    before_text, _, rest = message.as_bytes().partition(_TEXT + b"\r\n")
    before_html, _, rest = rest.partition(_HTML + b"\r\n")
    after_html, rest = _split(rest, related if shape.images else "")
    between, after_attachments = _split(rest or after_html, mixed if shape.attachments else "")
    if not shape.images:
        return _Parts(fixed + before_text, before_html, between, b"", after_attachments)
    return _Parts(fixed + before_text, before_html, after_html, between, after_attachments)


def _split(data: bytes, boundary: str) -> tuple[bytes, bytes]:
    """Return the bytes before and from the end of a multipart; nothing is split off without a boundary."""
    if not boundary:
        return data, b""
    before, end, after = data.partition(f"--{boundary}--".encode("ascii"))
    return before, end + after


def _fields(*names: str) -> re.Pattern[bytes]:
    """Return a pattern that matches a block of exactly these headers, each one complete."""
    return re.compile(b"".join(b"%b: %b\r\n" % (name.encode("ascii"), _VALUE) for name in names))
