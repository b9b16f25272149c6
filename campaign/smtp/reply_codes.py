"""Turn a reply that is not success into the error it means (RFC 5321): `classify_reply`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from campaign.errors import CampaignError, PermanentError, Scope, ServiceRefusesError, TransientError

if TYPE_CHECKING:
    from campaign.model import Receipt


class NotBegunError(Exception):
    """The connection ended before the server began this message: it can be sent on another connection."""


class Command(StrEnum):
    """The command that a reply answers; the value stands in error texts."""

    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    DOT = "the message"


#: The server requires authentication, or a stronger one (RFC 4954 §6): the settings are wrong.
_AUTHENTICATION = frozenset({530, 534, 535, 538})
#: The server closes or throttles: pause all messages to it, not only this one.
_SERVER_LATER = frozenset({421, 454})


def classify_reply(receipt: Receipt, stage: Command) -> CampaignError:
    """Return the error for a reply other than success to the command `stage`."""
    reason = f"{stage} was answered: {receipt}"
    code = receipt.code
    if code in _AUTHENTICATION:
        return ServiceRefusesError(
            f"the mail server requires another login ({receipt}); check user and password in CAMPAIGN_SMTP_URL"
        )
    if stage is Command.MAIL and code >= 500 and code != 552:  # RFC 5321 §4.2.1: 5yz is permanent
        return ServiceRefusesError(f"the mail server refuses the sender: {receipt}; check `from` in the campaign file")
    if code in _SERVER_LATER or _out_of_storage(receipt, stage):
        return TransientError(reason, scope=Scope.SERVER, reply=receipt)
    if 400 <= code < 500 or _too_many_recipients(receipt, stage):  # 4yz is transient
        return TransientError(reason, scope=Scope.SERVER if stage is Command.MAIL else Scope.RECIPIENT, reply=receipt)
    return PermanentError(reason, reply=receipt)


def _out_of_storage(receipt: Receipt, stage: Command) -> bool:
    # 452 at RCPT concerns that mailbox, or too many recipients; elsewhere the system's storage is full (4.3.1)
    return receipt.code == 452 and stage is not Command.RCPT  # RFC 5321 §4.2.3


def _too_many_recipients(receipt: Receipt, stage: Command) -> bool:
    # RFC 5321 §4.5.3.1.10: treat 552 at RCPT as 452, except for a full mailbox (X.2.2)
    return receipt.code == 552 and stage is Command.RCPT and receipt.enhanced != "5.2.2"
