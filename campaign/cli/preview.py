"""`campaign preview`: show the email of one recipient, with a dummy token in its links."""

from __future__ import annotations

from functools import partial
from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks
from typing import TYPE_CHECKING

import click

from campaign.cli.group import (
    FILE,
    INTERRUPTED,
    LOCALE,
    RECIPIENTS,
    STEP,
    awaited,
    commands,
    echo,
    say,
    shown_definition_of,
)

if TYPE_CHECKING:
    from campaign.config.definition import Definition
    from campaign.message import Message


@commands.command()
@FILE
@RECIPIENTS
@click.option("--email", metavar="ADDRESS", help="The recipient to show; by default the first.")
@STEP
@LOCALE
@click.option("--html", is_flag=True, help="Print the HTML part.")
@click.option("--open", "browser", is_flag=True, help="Show it in the browser, where you can step through all rows.")
def preview(
    file: Path,
    recipients: Path | None,
    email: str | None,
    *,
    step: str | None,
    locale: str | None,
    html: bool,
    browser: bool,
) -> None:
    """Show one rendered email, with a dummy token in its links."""
    if browser:
        from campaign.cli.inbox import serve_preview  # noqa: PLC0415

        load = partial(shown_definition_of, file, recipients)
        awaited(serve_preview(load, email=email, step=step, locale=locale, say=echo))
        raise SystemExit(INTERRUPTED)
    message = _rendered(shown_definition_of(file, recipients), email, step=step, locale=locale)
    say([message.html if html else _as_text(message)], data=True)


def _rendered(definition: Definition, address: str | None, *, step: str | None, locale: str | None) -> Message:
    """Return one email of one recipient, by default the first of each.

    Raises:
        TemplateError: the email cannot be rendered.
        RecipientsError: there is no such recipient.
    """
    from campaign.delivery.single_message import sample_recipient, variant_for  # noqa: PLC0415
    from campaign.message import MessageTemplate  # noqa: PLC0415
    from campaign.message.dry_run import sample_message  # noqa: PLC0415

    recipient = sample_recipient(definition, email=address)
    variant = variant_for(definition, recipient, step=step, locale=locale)
    return sample_message(MessageTemplate.load(variant), recipient, variant)


def _as_text(message: Message) -> str:
    """Return the decoded headers, the files and the text part."""
    from email import message_from_bytes, policy  # noqa: PLC0415

    parsed = message_from_bytes(message.pieces[0].partition(b"\r\n\r\n")[0], policy=policy.default)
    shown = ("From", "To", "Reply-To", "Subject", "Date", "Message-ID", "List-Id")
    headers = [f"{name}: {parsed[name]}" for name in shown if parsed[name] is not None]
    files = [f"{'Image' if file.inline else 'Attached'}: {file}" for file in message.files]
    return "\n".join([*headers, *files, "", message.text])
