"""Read a delivery status notification (RFC 3464, and RFC 6533 for addresses that are not ASCII): `read_status`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from campaign.bounces.diagnosis import read_diagnosis
from campaign.bounces.report import Kind, RecipientReport
from campaign.bounces.status import STATUS, classify, decisive
from campaign.config.address import normalise_address

if TYPE_CHECKING:
    from campaign.bounces.mime import Headers, MailPart
    from campaign.bounces.tag_candidates import TagCandidates

#: The content types of the part with the fields, RFC 3464 §2.1 and RFC 6533 §6.3.
STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
#: Recipients of one report that are read; a campaign's message has one.
_MAX_RECIPIENTS = 20
# RFC 3464 §2.3.3. Some servers add a comment, such as `failed (bad destination mailbox)`.
_ACTION = re.compile(r"\s*([a-z]+)", re.IGNORECASE)
_WITHOUT_FAILURE = {
    "delayed": Kind.DELAYED,
    "delivered": Kind.DELIVERED,
    "relayed": Kind.DELIVERED,
    "expanded": Kind.DELIVERED,
}
# Without an action the class of the status decides (RFC 3463 §2): 4 is a fault that may pass.
_BY_CLASS = {"2": "delivered", "4": "delayed", "5": "failed"}
#: Fields of which a block about a recipient has at least one.
_RECIPIENT_FIELDS = ("Final-Recipient", "Original-Recipient", "Action", "Status", "Diagnostic-Code")


def read_status(part: MailPart, tags: TagCandidates) -> tuple[RecipientReport, ...]:
    """Return what the notification says about each recipient, and add its envelope id to the tags.

    The result is empty if the part contains no block about a recipient. Of a notification about more than 20
    recipients the rest counts as one that is not understood.
    """
    blocks = part.blocks(2 + _MAX_RECIPIENTS)
    for block in blocks:
        for value in block.all("Original-Envelope-Id"):
            tags.add_envelope_id(value)
    found = [one for block in blocks if (one := _read_recipient(block)) is not None]
    if len(found) > _MAX_RECIPIENTS:
        found[_MAX_RECIPIENTS:] = [RecipientReport(Kind.NOT_UNDERSTOOD)]
    return tuple(found)


def _read_recipient(block: Headers) -> RecipientReport | None:
    if not any(block.all(name) for name in _RECIPIENT_FIELDS):
        return None
    status = STATUS.search(block.first("Status"))
    diagnosis = read_diagnosis(block.decoded("Diagnostic-Code"))
    statuses = [*([status[1]] if status else []), *diagnosis.statuses]
    action = _ACTION.match(block.first("Action"))
    what = action[1].lower() if action else _BY_CLASS.get("".join(statuses)[:1], "")
    original, final = (address_in(block.first(name)) for name in ("Original-Recipient", "Final-Recipient"))
    if what == "failed":
        kind = classify(*statuses, words=diagnosis.words)
    elif what in _WITHOUT_FAILURE:
        kind = _WITHOUT_FAILURE[what]
    else:
        kind = Kind.NOT_UNDERSTOOD
    return RecipientReport(kind, original, final, diagnosis.code, decisive(statuses, kind), diagnosis.words)


def address_in(value: str) -> str:
    """Return the address of a field such as `rfc822; ada@example.com` in its normal form; empty if it is none."""
    kind, semicolon, address = value.partition(";")
    if semicolon and kind.strip().lower() not in {"rfc822", "utf-8"}:
        return ""
    text = (address if semicolon else kind).strip()
    if found := re.search(r"<([^<>]*)>", text):
        text = found[1]
    try:
        return normalise_address(text.strip().removeprefix("mailto:"))
    except ValueError:
        return ""
