"""What a reply means for the recipient: later, never, or the service refuses us. A table of the protocol's rules."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from campaign.errors import CampaignError, PermanentError, Scope, ServiceRefusesError, TransientError

if TYPE_CHECKING:
    from campaign.model import Receipt


class NotBegunError(Exception):
    """The connection ended before the server did anything for this message: another connection may take it."""


class Command(StrEnum):
    """The command that a reply answers; the value is how a person reads it."""

    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    DOT = "the message"


#: Authentication is required or was not good enough (RFC 4954 §6): nobody but us is to blame.
_AUTHENTICATION = frozenset({530, 534, 535, 538})
#: Throttling and closing: the server as a whole wants to be left alone for a while.
_SERVER_LATER = frozenset({421, 454})


def classify_reply(receipt: Receipt, stage: Command) -> CampaignError:
    """Return the error that a reply other than success means at a stage."""
    reason = f"{stage} was answered: {receipt}"
    code = receipt.code
    if code in _AUTHENTICATION:
        return ServiceRefusesError(
            f"the mail server wants another login ({receipt}); check user and password in CAMPAIGN_SMTP_URL"
        )
    if stage is Command.MAIL and code >= 500 and code != 552:  # RFC 5321 §4.2.1: 5yz is permanent
        return ServiceRefusesError(f"the mail server refuses the sender: {receipt}; check `from` in the campaign file")
    if code in _SERVER_LATER or _out_of_storage(receipt, stage):
        return TransientError(reason, scope=Scope.SERVER, reply=receipt)
    if 400 <= code < 500 or _too_many_recipients(receipt, stage):  # 4yz is transient
        return TransientError(reason, scope=Scope.SERVER if stage is Command.MAIL else Scope.RECIPIENT, reply=receipt)
    return PermanentError(reason, reply=receipt)


def _out_of_storage(receipt: Receipt, stage: Command) -> bool:
    # 452 at RCPT is a matter of that mailbox or of too many recipients; elsewhere the system is full (4.3.1)
    return receipt.code == 452 and stage is not Command.RCPT  # RFC 5321 §4.2.3


def _too_many_recipients(receipt: Receipt, stage: Command) -> bool:
    # RFC 5321 §4.5.3.1.10: 552 at RCPT is to be treated as 452, but a full mailbox (X.2.2) is one
    return receipt.code == 552 and stage is Command.RCPT and receipt.enhanced != "5.2.2"
