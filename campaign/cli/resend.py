"""`campaign resend`: send a new mail with a new link to recipients who had one."""

from __future__ import annotations

import shlex
from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks
from typing import TYPE_CHECKING

import click

from campaign.cli.consent import confirmation
from campaign.cli.decided import tell
from campaign.cli.group import EMAIL, FILE, SANDBOX, YES, as_typed, awaited, commands, loaded
from campaign.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaign.model import Status


@commands.command()
@FILE
@EMAIL
@click.option("--revoked", is_flag=True, help="All recipients whose link was revoked after their mail was sent.")
@SANDBOX
@YES
def resend(file: Path, email: str | None, *, revoked: bool, sandbox: bool, yes: bool) -> None:
    """Queue sent recipients again, for a new mail with a new link.

    Their old links are revoked first. The next run sends the mails.
    """
    from campaign.delivery.operator_commands import resend_rows  # noqa: PLC0415
    from campaign.reporting.summary import number  # noqa: PLC0415

    if (email is None) != revoked:
        raise click.UsageError("add --email ADDRESS (one recipient) or --revoked (all whose link was revoked).")
    definition, settings = loaded(file)
    confirm = confirmation(
        definition,
        settings,
        sandbox=sandbox,
        yes=yes,
        question=lambda count: (
            f"Queue {number(count, 'recipient')} of {definition.name} for another mail, and revoke the old links?"
        ),
    )
    result = awaited(resend_rows(definition, settings, email=email, sandbox=sandbox, confirm=confirm))
    command = as_typed(file, sandbox=sandbox)
    if email is not None and not (result.declined or result.queued or result.pending):
        raise CannotStartError(_instead(result.instead, email, definition.name, command))
    tell(result, command)


def _instead(states: Mapping[Status, int], email: str, name: str, command: str) -> str:
    """Return why a recipient has no mail to send again, and what to type instead."""
    from campaign.model import Status  # noqa: PLC0415

    who = f"--email {shlex.quote(email)}"
    texts = {
        Status.QUEUED: f"{email} is queued and gets the mail with the next run; type: campaign run {command}",
        Status.FAILED: f"{email} failed and has no mail; type: campaign retry {command} {who}",
        Status.UNCERTAIN: f"{email} may have the mail already; type: campaign resolve {command} --resend {who}",
        Status.SKIPPED: f"{email} was skipped and has no mail; type: campaign retry {command} --state skipped {who}",
    }
    told = [text for state, text in texts.items() if state in states]
    return "\n".join(told) or f"no recipient of {name} has the address {email}; `campaign log {command}` lists all"
