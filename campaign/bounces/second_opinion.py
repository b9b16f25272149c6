"""Ask flufl.bounce about bounces in the mail servers' own formats: `second_opinion`."""

from __future__ import annotations

import importlib.util
import logging
import re
from email.message import Message
from typing import TYPE_CHECKING, Any

from campaign.bounces.delivery_status import address_in
from campaign.bounces.diagnosis import read_diagnosis
from campaign.bounces.report import Kind, RecipientReport
from campaign.bounces.status import STATUS, classify, decisive

if TYPE_CHECKING:
    from campaign.bounces.mime import Headers, MailPart

#: Characters of each part that are looked at: the library has dozens of regular expressions.
_MAX_TEXT = 20_000
_MAX_RECIPIENTS = 20
#: Where a bounce without MIME begins to quote the returned message.
_RETURNED = re.compile(
    r"^(?:[ \t>*|-]{0,80}(?:below this line|original message|returned message|unsent message|the (?:header|message) )"
    r"|-{2,80}.{0,80}(?:copy of|original|message (?:text|header|follows|begins))|(?:Return-Path|Received):)",
    re.IGNORECASE | re.MULTILINE,
)
#: Header fields that the library's detectors look at.
_FIELDS = ("From", "To", "Subject", "Received", "X-Failed-Recipients", "X-Mailer", "Content-Type")


def missing() -> str | None:
    """Return what to type so that the mail servers' own formats are read; None if nothing is missing."""
    if importlib.util.find_spec("flufl") is not None and importlib.util.find_spec("flufl.bounce") is not None:
        return None
    return "Bounces in mail servers' own formats need flufl.bounce; type: pip install 'campaign[bounces]'"


def second_opinion(headers: Headers, content_type: str, parts: list[MailPart]) -> tuple[RecipientReport, ...]:
    """Return the recipients of a bounce that is no RFC 3464 report; empty if its format is not known.

    The library finds addresses. What happened to them is judged by the status codes in the notification's own text,
    without the returned message; without a code a permanent failure is `SOFT`.
    """
    try:
        from flufl.bounce import all_failures  # noqa: PLC0415 - an extra
    except ImportError:
        return ()
    # It logs a traceback, with the mail's words, when a detector stumbles over a malformed mail.
    logging.getLogger("flufl.bounce").disabled = True
    try:
        temporary, permanent = all_failures(_as_message(headers, content_type, parts))
    except Exception:  # noqa: BLE001 - whatever a detector raises
        return ()
    text = "\n".join(part.text[:_MAX_TEXT] for part in parts if part.type == "text/plain")
    text = text[: returned.start()] if (returned := _RETURNED.search(text)) else text
    line = next((line for line in text.splitlines() if STATUS.search(line)), "")
    code, statuses, words = read_diagnosis(line)
    failed = classify(*STATUS.findall(text), words=words)
    found, kind = (_addresses(permanent), failed) if permanent else (_addresses(temporary), Kind.DELAYED)
    return tuple(RecipientReport(kind, "", one, code, decisive(statuses, kind), words) for one in found)


def _addresses(found: Any) -> list[str]:  # noqa: ANN401 - the library has no types
    texts = sorted(one.decode("ascii", "replace") if isinstance(one, bytes) else str(one) for one in found)
    return [address for text in texts[:_MAX_RECIPIENTS] if (address := address_in(text))]


def _as_message(headers: Headers, kind: str, parts: list[MailPart]) -> Message:
    """Return a flat message of the parts' first characters: the library's parser would read a bomb to its end."""
    whole = Message()
    for name in _FIELDS:
        for value in headers.all(name):
            whole[name] = value
    if not kind.startswith("multipart/"):
        whole.set_payload("".join(part.text[:_MAX_TEXT] for part in parts))
        return whole
    whole.set_payload([])
    for part in parts:
        one = Message()
        one["Content-Type"] = part.headers.first("Content-Type") or part.type
        one.set_payload(part.text[:_MAX_TEXT])
        whole.attach(one)
    return whole
