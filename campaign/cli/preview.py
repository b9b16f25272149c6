"""One email as a recipient would get it, with a dummy token, for the terminal. For the browser: `rows.py`."""

from __future__ import annotations

import email
import email.policy
from typing import TYPE_CHECKING

from campaign.cli.operations import sample
from campaign.message import MessageTemplate
from campaign.message.dry_run import sample_message

if TYPE_CHECKING:
    from campaign.config.definition import Definition
    from campaign.message import Message


def rendered(definition: Definition, address: str | None) -> Message:
    """Return the email of one recipient, by default the first.

    Raises:
        TemplateError: it cannot be rendered.
        RecipientsError: there is no such recipient.
    """
    return sample_message(MessageTemplate.load(definition), sample(definition, email=address), definition)


def as_text(message: Message) -> str:
    """Return the headers, decoded, and the text part."""
    parsed = email.message_from_bytes(message.data, policy=email.policy.default)
    shown = ("From", "To", "Reply-To", "Subject", "Date", "Message-ID", "List-Id")
    headers = [f"{name}: {parsed[name]}" for name in shown if parsed[name] is not None]
    return "\n".join([*headers, "", message.text])
