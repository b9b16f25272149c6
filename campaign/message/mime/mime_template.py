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
    from datetime import datetime

_TEXT, _HTML = b"@text@", b"@html@"
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+>")
#: RFC 5322 §2.1.1.
_MAX_LINE = 998
# A field's value as it may be sent: printable ASCII; after each fold a printable character that is not a space.
_VALUE = rb"[!-~][ -~]*(?:\r\n +[!-~][ -~]*)*"


class _Parts(NamedTuple):
    """The bytes after the varying headers, up to the closing boundary, split at the two bodies."""

    before_text: bytes
    before_html: bytes
    after_html: bytes


class MimeTemplate:
    """A multipart/alternative message with its fixed headers, the text part first, the HTML part second.

    Args:
        sender: one mailbox, as `headers.mailbox` parses it.
        reply_to: likewise; None: the message has no Reply-To.
        list_id: the value of List-Id (RFC 2919).
        feedback_id: the value of Feedback-ID; None: the message has none.
        one_click: whether the messages have List-Unsubscribe and List-Unsubscribe-Post (RFC 8058).
        boundary: the boundary of the parts; it must contain `=_`, which never occurs in a quoted-printable body
            (RFC 2045 §6.7 (5)).

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
        self._boundary = boundary.encode("ascii")
        # RFC 3834 §5: automatic responders leave such a message alone
        lines = [f"List-Id: {list_id}", "Auto-Submitted: auto-generated"]
        lines += [f"Feedback-ID: {feedback_id}"] if feedback_id else []
        fixed = "".join(f"{line}\r\n" for line in lines).encode("ascii")
        names = [line.partition(":")[0] for line in lines]
        if _fields("From", *names).fullmatch(self._from + fixed) is None:
            raise ValueError(f"The sender {sender!r} or the List-Id {list_id!r} does not result in exactly one header.")
        self._parts = {
            (text, html): _parts(fixed, boundary, text, html)
            for text in ("quoted-printable", "8bit")
            for html in ("quoted-printable", "8bit")
        }
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
    ) -> bytes:
        """Return the message with CRLF line ends; no line is longer than 998 bytes.

        Args:
            to: one plain ASCII address.
            subject: one line, as `headers.one_line` returns it.
            date: an aware datetime.
            message_id: the Message-ID with its angle brackets.
            text: the text body, with newlines as line breaks.
            html: the HTML body, likewise.
            eight_bit: whether 8bit bodies may be sent (RFC 6152); a body that has a line of more than 998 bytes, a NUL
                or the boundary is still sent as quoted-printable.
            unsubscribe: both fields of `UnsubscribeLink.headers`, if the messages have them.

        Raises:
            RowError: the subject is empty or too long, `to` is not one plain address, or the header block would
                not contain exactly the intended headers.
            ValueError: the Message-ID is malformed.
        """
        varying = self.headers(to=to, subject=subject, date=date, message_id=message_id, unsubscribe=unsubscribe)
        text_encoding, text_bytes = self._encoded(text, eight_bit=eight_bit)
        html_encoding, html_bytes = self._encoded(html, eight_bit=eight_bit)
        parts = self._parts[text_encoding, html_encoding]
        body = (parts.before_text, text_bytes, parts.before_html, html_bytes, parts.after_html)
        return b"".join((self._from, varying, *body))

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

    def _encoded(self, body: str, *, eight_bit: bool) -> tuple[str, bytes]:
        """Return a body's Content-Transfer-Encoding and its bytes."""
        data = bodies.eight_bit(body) if eight_bit else None
        if data is not None and self._boundary not in data:
            return "8bit", data
        return "quoted-printable", bodies.quoted_printable(body)


def _parts(fixed: bytes, boundary: str, text: str, html: str) -> _Parts:
    message = EmailMessage(policy=SMTP)
    message.set_content(_TEXT.decode(), charset="utf-8", cte=text)
    message.add_alternative(_HTML.decode(), subtype="html", charset="utf-8", cte=html)
    message.set_boundary(boundary)
    for part in message.iter_parts():
        del part["MIME-Version"]
    if "8bit" in (text, html):
        # RFC 2045 §6.4: if a part is 8bit, the multipart must be declared 8bit too.
        message["Content-Transfer-Encoding"] = "8bit"
    # The line break after a body belongs to the next boundary (RFC 2046 §5.1.1).
    before_text, _, rest = message.as_bytes().partition(_TEXT + b"\r\n")
    before_html, _, after_html = rest.partition(_HTML + b"\r\n")
    return _Parts(fixed + before_text, before_html, after_html)


def _fields(*names: str) -> re.Pattern[bytes]:
    """Return a pattern that matches a block of exactly these headers, each one complete."""
    return re.compile(b"".join(b"%b: %b\r\n" % (name.encode("ascii"), _VALUE) for name in names))
