"""The commands by which a person decides: `retry`, `resolve`, `revoke`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks
from typing import TYPE_CHECKING

import click

from campaign.cli.frame import DONE, EMAIL, FILE, SANDBOX, UNFINISHED, as_typed, awaited, commands, loaded, say

if TYPE_CHECKING:
    from campaign.cli.operations import CommandResult


@commands.command()
@FILE
@click.option("--state", type=click.Choice(["failed", "skipped"]), default="failed", show_default=True)
@EMAIL
@SANDBOX
def retry(file: Path, state: str, email: str | None, *, sandbox: bool) -> None:
    """Put failed recipients back into the queue."""
    from campaign.cli.operations import retry_rows  # noqa: PLC0415
    from campaign.model import Status  # noqa: PLC0415

    definition, settings = loaded(file)
    settled = awaited(retry_rows(definition, settings, state=Status(state), email=email, sandbox=sandbox))
    _tell(settled, as_typed(file, sandbox=sandbox))


@commands.command()
@FILE
@click.option("--resend", "decision", flag_value="resend", help="Revoke the old links and queue the recipients again.")
@click.option("--keep", "decision", flag_value="keep", help="Take the recipients as sent.")
@EMAIL
@SANDBOX
def resolve(file: Path, decision: str | None, email: str | None, *, sandbox: bool) -> None:
    """Decide about recipients who may have the mail or not."""
    from campaign.cli.operations import resolve_rows  # noqa: PLC0415

    if decision is None:
        raise click.UsageError("say --keep (take them as sent) or --resend (revoke the old link and send again).")
    definition, settings = loaded(file)
    resend = decision == "resend"
    settled = awaited(resolve_rows(definition, settings, resend=resend, email=email, sandbox=sandbox))
    _tell(settled, as_typed(file, sandbox=sandbox))


@commands.command()
@FILE
@SANDBOX
def revoke(file: Path, *, sandbox: bool) -> None:
    """Kill switch: revoke every token of the campaign that may still be pending."""
    from campaign.cli.operations import revoke_tokens  # noqa: PLC0415

    definition, settings = loaded(file)
    _tell(awaited(revoke_tokens(definition, settings, sandbox=sandbox)), as_typed(file, sandbox=sandbox))


def _tell(settled: CommandResult, command: str) -> None:
    say(settled.lines(command))
    raise SystemExit(UNFINISHED if settled.pending else DONE)
