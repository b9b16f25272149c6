"""List the documented refusals of mail providers, with what the program does after a dozen of each: `REFUSALS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: `stop`: exit 3, the refused rows are queued again. `fail`: each row fails. `wait`: it is tried again later.
Reaction = Literal["stop", "fail", "wait"]


@dataclass(frozen=True)
class Refusal:
    """One reply, as the provider documents it; `{rcpt}` and `{n}` stand for what differs from message to message."""

    provider: str
    text: str
    reaction: Reaction
    #: What the sentence says about going on.
    after: str = ""
    #: The command that is refused.
    at: Literal["rcpt", "dot"] = "dot"

    def __str__(self) -> str:
        """Return a name for the test."""
        return f"{self.provider}: {self.text[:40]}"

    def reply(self, number: int, rcpt: str) -> str:
        """Return the reply to the message with this number."""
        return self.text.format(n=f"{number}c0ffee{number}", rcpt=rcpt)


_DAILY = "again in 24 hours"
_SETTLE = "with the mail provider"

REFUSALS = (
    # https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html and …/smtp-response-codes.html
    Refusal(
        "Amazon SES",
        "554 Message rejected: Email address is not verified. The following identities failed the check in region "
        "EU-WEST-1: {rcpt}",
        "stop",
        _SETTLE,
    ),
    Refusal("Amazon SES", "554 Message rejected: Sending paused for this account.", "stop", _SETTLE),
    Refusal(
        "Amazon SES",
        "554 Access denied: User `arn:aws:iam::{n}:user/mail' is not authorized to perform `ses:SendRawEmail'",
        "stop",
        _SETTLE,
    ),
    # https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html
    Refusal("Amazon SES", "454 Throttling failure: Daily message quota exceeded.", "wait"),
    # https://support.google.com/a/answer/3726730
    Refusal("Gmail", "550 5.4.5 Daily user sending limit exceeded. {n}-20020a0 - gsmtp", "stop", _DAILY),
    Refusal("Gmail", "550 5.7.1 Daily SMTP relay limit exceeded for customer. {n} - gsmtp", "stop", _DAILY),
    Refusal("Gmail", "550 5.7.26 Your email has been blocked because the sender is unauthenticated. {n}", "stop"),
    Refusal("Gmail", "550 5.1.1 The email account that you tried to reach does not exist. {n}", "fail", at="rcpt"),
    Refusal("Gmail", "552 5.2.2 The recipient's inbox is out of storage space. {n}", "fail", at="rcpt"),
    Refusal("Gmail", "552 5.3.4 Your message exceeded Google's message size limits. {n}", "stop", _SETTLE),
    # https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online
    Refusal("Microsoft 365", "550 5.1.90 You have reached your daily limit for message recipients", "stop", _DAILY),
    Refusal("Microsoft 365", "554 5.2.252 SendAsDenied; hello@acme.example not allowed to send as {n}", "stop"),
    Refusal("Microsoft 365", "550 5.7.60 SMTP; Client does not have permissions to send as this sender", "stop"),
    Refusal("Microsoft 365", "550 5.1.8 Access denied, bad outbound sender AS({n})", "stop", _SETTLE),
    Refusal("Microsoft 365", "550 5.7.705 Access denied, tenant has exceeded threshold", "stop", _SETTLE),
    Refusal(
        "Microsoft 365", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient {rcpt} not found", "fail", at="rcpt"
    ),
    Refusal("Microsoft 365", "550 5.4.1 Recipient address rejected: Access denied. AS({n})", "fail", at="rcpt"),
    # https://www.twilio.com/docs/sendgrid/for-developers/sending-email/smtp-errors-and-troubleshooting
    Refusal(
        "SendGrid",
        "550 The from address does not match a verified Sender Identity. Mail cannot be sent until this error is "
        "resolved. Visit https://sendgrid.example/docs/",
        "stop",
        _SETTLE,
    ),
    Refusal("SendGrid", "550 Unauthenticated senders not allowed", "stop", _SETTLE),
    Refusal("SendGrid", "554 Maximum credits exceeded", "stop", "has renewed or raised the limit"),
    Refusal("SendGrid", "550 Requested action not taken: mailbox unavailable", "fail", at="rcpt"),
    # https://help.mailgun.com/hc/en-us/articles/217531258
    Refusal(
        "Mailgun",
        "550 Domain sandbox{n}.mailgun.example is not allowed to send: Sandbox subdomains are for test purposes only. "
        "Please add your own domain or add the address to authorized recipients in Account Settings.",
        "stop",
        _SETTLE,
    ),
    Refusal("Mailgun", "550 Message hourly limit exceeded for {n}.acme.example", "stop", "again in an hour"),
    # https://postmarkapp.com/developer/api/overview (error codes 412 and 406)
    Refusal(
        "Postmark",
        "550 While your account is pending approval, all recipient addresses must share the same domain as the 'From' "
        "address.",
        "stop",
        _SETTLE,
    ),
    Refusal(
        "Postmark",
        "550 You tried to send to recipient(s) that have been marked as inactive. Found inactive addresses: {rcpt}.",
        "fail",
    ),
    # https://help.brevo.com/hc/en-us/articles/115000188150
    Refusal("Brevo", "502 5.7.0 Your SMTP account is not yet activated. Please contact us", "stop", _SETTLE),
    # https://documentation.mailjet.com/hc/en-us/articles/360042624754
    Refusal("Mailjet", "550 5.7.1 Sender address rejected: not validated, id {n}", "stop", _SETTLE),
    Refusal("Mailjet", "550 5.7.1 Your account has been suspended {n}", "stop", _SETTLE),
)
