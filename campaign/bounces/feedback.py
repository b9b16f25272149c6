"""Read a complaint: an abuse report (RFC 5965), or the older form of Outlook's JMRP: `read_feedback`, `read_jmrp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.bounces.delivery_status import address_in
from campaign.bounces.diagnosis import safe_words
from campaign.bounces.report import Kind, RecipientReport

if TYPE_CHECKING:
    from campaign.bounces.mime import Headers, MailPart
    from campaign.bounces.tag_candidates import TagCandidates

#: The content type of the part with the fields, RFC 5965 §2.
FEEDBACK_TYPE = "message/feedback-report"
# RFC 6430: the recipient marked the message as not spam. RFC 6591: SPF, DKIM or DMARC failed; no recipient
# complained. Each other type, also an unknown one (RFC 5965 §7.3, `other`), comes from a person who objects.
_NO_COMPLAINTS = frozenset({"not-spam", "auth-failure"})
_MAX_RECIPIENTS = 20
_JMRP_SUBJECT = "complaint about message from"
_JMRP_RECIPIENT = "X-HmXmrOriginalRecipient"


def read_feedback(part: MailPart, tags: TagCandidates) -> tuple[RecipientReport, ...]:
    """Return what an abuse report says about each recipient that it names; its sender and envelope id become tags.

    Many reports name no recipient, for privacy: then the result has one without an address. It is empty if the part
    has no Feedback-Type.
    """
    for block in part.blocks(1):
        kind = block.first("Feedback-Type").lower()
        if not kind:
            continue
        tags.add_addresses(*block.all("Original-Mail-From"))
        for value in block.all("Original-Envelope-Id"):
            tags.add_envelope_id(value)
        means = Kind.NOTICE if kind in _NO_COMPLAINTS else Kind.COMPLAINT
        words = safe_words(f"Feedback-Type: {kind}")
        named = block.all("Original-Rcpt-To")[:_MAX_RECIPIENTS] or [""]
        return tuple(RecipientReport(means, original=address_in(value), words=words) for value in named)
    return ()


def read_jmrp(headers: Headers, returned: Headers | None) -> tuple[RecipientReport, ...]:
    """Return the complaint of a mail that holds nothing but the message complained about; empty if it is none."""
    if returned is None or not headers.decoded("Subject").lower().startswith(_JMRP_SUBJECT):
        return ()
    return (RecipientReport(Kind.COMPLAINT, original=address_in(returned.first(_JMRP_RECIPIENT))),)
