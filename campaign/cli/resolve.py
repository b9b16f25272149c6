"""`campaign resolve`: settle uncertain recipients, who may or may not have got the email."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks

import click

from campaign.cli.decided import tell
from campaign.cli.group import EMAIL, FILE, SANDBOX, as_typed, awaited, commands, loaded


@commands.command()
@FILE
@click.option("--resend", "decision", flag_value="resend", help="Revoke the old links and queue the recipients again.")
@click.option("--keep", "decision", flag_value="keep", help="Mark the recipients as sent.")
@EMAIL
@SANDBOX
def resolve(file: Path, decision: str | None, email: str | None, *, sandbox: bool) -> None:
    """Decide about uncertain recipients: keep or resend.

    An uncertain recipient may have the email or not: the server's reply to it was lost.
    """
    from campaign.delivery.operator_commands import resolve_rows  # noqa: PLC0415

    if decision is None:
        raise click.UsageError("add --keep (mark them as sent) or --resend (revoke the old link and send again).")
    definition, settings = loaded(file)
    resend = decision == "resend"
    settled = awaited(resolve_rows(definition, settings, resend=resend, email=email, sandbox=sandbox))
    tell(settled, as_typed(file, sandbox=sandbox))
