"""Read one mail of a bounce mailbox: a bounce, a complaint, or something else: `parse_report`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from campaign.bounces.delivery_status import STATUS_TYPES, read_status
from campaign.bounces.feedback import FEEDBACK_TYPE, read_feedback, read_jmrp
from campaign.bounces.mime import read_headers, read_parts
from campaign.bounces.report import Kind, Report, mildest
from campaign.bounces.second_opinion import second_opinion
from campaign.bounces.tag_candidates import TagCandidates

if TYPE_CHECKING:
    from campaign.bounces.mime import Headers, MailPart
    from campaign.bounces.report import RecipientReport

#: Bytes of a mail that are looked at: a report's own parts stand before the message that it returns.
MAX_MAIL = 2**20
#: The headers in which a mail server writes the address that a mail was sent to.
_SENT_TO = ("To", "Delivered-To", "X-Original-To", "Envelope-To")
_RETURNED_TYPES = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"})
_READ_RECEIPT = "message/disposition-notification"
#: The names under which mail servers write. Exchange's local part is MicrosoftExchange and an id.
_DAEMON = re.compile(r"(?:mailer|mail)[-_.]?daemon|mdaemon|postmaster|microsoftexchange[0-9a-f]{20,}", re.IGNORECASE)
_DAEMON_NAME = re.compile(r"[\"\s]*(?:mail(?:er)? (?:delivery|administrator)|system administrator)\b", re.IGNORECASE)
_LOCAL_PART = re.compile(r"([\w.+-]+)@")
_AUTOMATIC_SUBJECT = re.compile(
    r"\s*(?:auto(?:matic|matische)?[ -]?(?:reply|response|antwort)\b|auto(?:reply)?:|out of (?:the )?office|ooo\b"
    r"|(?:on )?vacation\b|away\b|abwesend|abwesenheit|r[ée]ponse automatique|respuesta autom[áa]tica)",
    re.IGNORECASE,
)
_AUTOMATIC_FIELDS = ("X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Auto-Reply")


def parse_report(raw: bytes) -> Report:
    """Return what a mail reports; any input has a result, and no exception.

    At most the first 2**20 bytes are read. The tags are those of the address that the report was sent to, of its
    envelope id, and of the returned message's Return-Path. A Message-ID is not looked at: everyone who got the
    message knows it.
    """
    headers, kind, parts = read_parts(raw[:MAX_MAIL])
    returned = next((_returned_headers(part) for part in parts if part.type in _RETURNED_TYPES), None)
    tags = TagCandidates()
    for name in _SENT_TO:
        tags.add_addresses(*headers.all(name))
    if returned is not None:
        tags.add_addresses(*returned.all("Return-Path"))
    recipients = _read_standard(headers, kind, parts, tags) or read_jmrp(headers, returned)
    if recipients:
        return Report(mildest(*(one.kind for one in recipients)), tags.all(), recipients)
    what, recipients = _read_other(headers, kind, parts)
    return Report(what, tags.all(), recipients)


def _read_standard(
    headers: Headers, kind: str, parts: list[MailPart], tags: TagCandidates
) -> tuple[RecipientReport, ...]:
    """Return what the first complaint or delivery status says; empty if there is none."""
    # A person may attach a report to a reply; a report in another kind of multipart comes from a mail server.
    is_report = kind == "multipart/report" or _is_from_daemon(headers) or _has_empty_return_path(headers)
    for part in parts:
        found: tuple[RecipientReport, ...] = ()
        if part.type == FEEDBACK_TYPE:
            found = read_feedback(part, tags)
        elif part.type in STATUS_TYPES and is_report:
            found = read_status(part, tags)
        if found:
            return found
    return ()


def _read_other(headers: Headers, kind: str, parts: list[MailPart]) -> tuple[Kind, tuple[RecipientReport, ...]]:
    """Return what a mail is that has no part of RFC 3464 or RFC 5965."""
    if kind == "multipart/report" and any(part.type == _READ_RECEIPT for part in parts):
        return Kind.NOTICE, ()
    from_daemon = _is_from_daemon(headers)
    if _is_automatic(headers, from_daemon=from_daemon):
        return Kind.AUTO_REPLY, ()
    if from_daemon and (found := second_opinion(headers, kind, parts)):
        return mildest(*(one.kind for one in found)), found
    if from_daemon or kind == "multipart/report" or _has_empty_return_path(headers):
        return Kind.NOT_UNDERSTOOD, ()
    return Kind.NOT_A_REPORT, ()


def _returned_headers(part: MailPart) -> Headers:
    return read_headers(part.content.lstrip(b"\r\n"))


def _is_from_daemon(headers: Headers) -> bool:
    """Return whether this was sent under a mail server's name, or has Exim's list of failed recipients."""
    if headers.all("X-Failed-Recipients"):
        return True
    sender = headers.decoded("From")
    local = next(reversed(_LOCAL_PART.findall(sender)), "")
    return _DAEMON.fullmatch(local) is not None or _DAEMON_NAME.match(sender) is not None


def _has_empty_return_path(headers: Headers) -> bool:
    """Return whether a reply to this must not be sent: bounces (RFC 5321 §4.5.5), and vacation notices (RFC 3834)."""
    return "<>" in headers.all("Return-Path")


def _is_automatic(headers: Headers, *, from_daemon: bool) -> bool:
    """Return whether this is an automatic reply (RFC 3834 §5). Servers mark their bounces like that, too."""
    if headers.all("X-Failed-Recipients"):
        return False
    if _AUTOMATIC_SUBJECT.match(headers.decoded("Subject")) or any(map(headers.all, _AUTOMATIC_FIELDS)):
        return True
    if headers.first("Precedence").lower() == "auto_reply":
        return True
    submitted = headers.first("Auto-Submitted").lower()
    return submitted.startswith("auto-") and not from_daemon
