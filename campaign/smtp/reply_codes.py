"""Turn a reply that is not success into the error it means (RFC 5321): `classify_reply`."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from campaign.errors import CampaignError, PermanentError, Scope, ServiceRefusesError, TransientError

if TYPE_CHECKING:
    from campaign.model import Receipt


class Command(StrEnum):
    """The command that a reply answers; the value stands in error texts."""

    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    DOT = "the message"


class ConnectionSpentError(Exception):
    """The server takes no more messages on this connection, and has not taken this one: another can send it."""

    def __init__(self, reason: str, *, reply: Receipt | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reply = reply

    @classmethod
    def by_reply(cls, stage: Command, reply: Receipt) -> Self:
        """Return the error for a reply that ends the connection."""
        return cls(f"{stage} was answered: {reply}", reply=reply)


#: The service closes the connection; it may answer any command (RFC 5321 §4.2.1).
SERVICE_CLOSING = 421
#: The commands came in an order that the server did not expect (RFC 5321 §4.3.2).
BAD_SEQUENCE = 503
#: The server requires authentication, or a stronger one (RFC 4954 §6): the settings are wrong.
AUTHENTICATION = frozenset({530, 534, 535, 538})
#: The server closes or throttles: pause all messages to it, not only this one.
_SERVER_LATER = frozenset({SERVICE_CLOSING, 454})
#: Too many connections at the same time (Exchange).
_TOO_MANY_CONNECTIONS = 432

_ABOUT_LOGIN = "check user and password in CAMPAIGN_SMTP_URL"
_ABOUT_NAME = "set CAMPAIGN_EHLO to this machine's host name in DNS, such as mail.example.com"
#: Many servers judge the name of EHLO only at MAIL or RCPT (Postfix: `smtpd_delay_reject`).
_NAME = re.compile(r"\b(?:helo|ehlo) (?:command|name|host|argument)|(?:invalid|bad) (?:helo|ehlo)", re.IGNORECASE)
_LOGIN = re.compile(r"\bauth\b|authenticat|log(?:ged)? ?in", re.IGNORECASE)
_MANY = re.compile(
    r"(?:too many|concurrent|simultaneous|maximum)[\w ]{0,30}\b(?:connections|sessions|submissions)|thread limit",
    re.IGNORECASE,
)
_FAST = re.compile(r"\b(?:send(?:ing)?|submission|message) rate\b|\brate exceeded", re.IGNORECASE)
_BUDGET = re.compile(r"quota|hour|daily|\bday\b", re.IGNORECASE)


def classify_reply(receipt: Receipt, stage: Command) -> CampaignError:
    """Return the error for a reply other than success to the command `stage`."""
    reason = f"{stage} was answered: {receipt}"
    code = receipt.code
    about_name = stage in {Command.MAIL, Command.RCPT} and _NAME.search(receipt.text) is not None
    if code in AUTHENTICATION or (code >= 500 and (about_name or (stage is Command.MAIL and code != 552))):
        return ServiceRefusesError(_refusal_of_us(receipt, about_name=about_name))
    if about_name:
        return TransientError(f"{reason}; if this lasts, {_ABOUT_NAME}", scope=Scope.SERVER, reply=receipt)
    if code in _SERVER_LATER or _out_of_storage(receipt, stage) or is_too_many_connections(receipt):
        return TransientError(reason, scope=Scope.SERVER, reply=receipt)
    if 400 <= code < 500 or _too_many_recipients(receipt, stage):  # 4yz is transient
        return TransientError(reason, scope=Scope.SERVER if stage is Command.MAIL else Scope.RECIPIENT, reply=receipt)
    return PermanentError(reason, about_address=stage is Command.RCPT, reply=receipt)


def is_too_many_connections(receipt: Receipt) -> bool:
    """Return whether the server wants fewer connections at the same time."""
    return receipt.code == _TOO_MANY_CONNECTIONS or (
        400 <= receipt.code < 500 and _MANY.search(receipt.text) is not None
    )


def is_too_fast(receipt: Receipt) -> bool:
    """Return whether the server wants fewer messages a second (Amazon SES: 454); a daily quota is another matter."""
    return (
        receipt.code in _SERVER_LATER
        and _FAST.search(receipt.text) is not None
        and _BUDGET.search(receipt.text) is None
    )


def _refusal_of_us(receipt: Receipt, *, about_name: bool) -> str:
    """Return the sentence for a permanent refusal of login, name, sender or session (RFC 5321 §4.2.1)."""
    if about_name:
        return f"the mail server refuses the name of this machine: {receipt}; {_ABOUT_NAME}"
    if receipt.code in AUTHENTICATION or _LOGIN.search(receipt.text):
        return f"the mail server requires another login ({receipt}); {_ABOUT_LOGIN}"
    if receipt.code in {500, 502, BAD_SEQUENCE}:  # about the command, not about the address in it
        return (
            f"the mail server takes no message ({Command.MAIL} was answered: {receipt}); it may require a login or "
            "another port: check CAMPAIGN_SMTP_URL"
        )
    return f"the mail server refuses the sender: {receipt}; check `from` in the campaign file"


def _out_of_storage(receipt: Receipt, stage: Command) -> bool:
    # 452 at RCPT concerns that mailbox, or too many recipients; elsewhere the system's storage is full (4.3.1)
    return receipt.code == 452 and stage is not Command.RCPT  # RFC 5321 §4.2.3


def _too_many_recipients(receipt: Receipt, stage: Command) -> bool:
    # RFC 5321 §4.5.3.1.10: treat 552 at RCPT as 452, except for a full mailbox (X.2.2)
    return receipt.code == 552 and stage is Command.RCPT and receipt.enhanced != "5.2.2"
