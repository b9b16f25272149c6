"""`campaign log`: print one line for each recipient."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks

import click

from campaign.cli.group import FILE, SANDBOX, commands, definition_of, say, settings_of


@commands.command()
@FILE
@click.option(
    "--state", type=click.Choice(["queued", "issuing", "sending", "sent", "failed", "uncertain", "skipped", "bounced"])
)
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@SANDBOX
def log(file: Path, state: str | None, form: str, *, sandbox: bool) -> None:
    """Print one line per recipient: state, reason, server's reply."""
    from campaign.reporting.log_export import lines  # noqa: PLC0415

    say(lines(settings_of(file), definition_of(file), state=state, form=form, sandbox=sandbox), end="", data=True)
