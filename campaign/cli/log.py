"""`campaign log`: print one line for each recipient; `campaign log move` moves the log."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks
from typing import Any

import click

from campaign.cli.group import FILE, SANDBOX, commands, definition_of, say, settings_of, tell_if_old
from campaign.cli.log_move import move


class LogCommand(click.Command):
    """A command with a FILE, and subcommands that stand in the place of FILE; a file of that name is `./move`."""

    subcommands = {"move": move}  # noqa: RUF012 - it does not change

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - click's
    ) -> click.Context:
        """Return the context of the subcommand that is named, or of this command."""
        if args and args[0] in self.subcommands:
            return self.subcommands[args[0]].make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@commands.command(cls=LogCommand, epilog="To move the log to PostgreSQL or back: campaign log move --to LOCATION")
@FILE
@click.option(
    "--state", type=click.Choice(["queued", "issuing", "sending", "sent", "failed", "uncertain", "skipped", "bounced"])
)
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@SANDBOX
def log(file: Path, state: str | None, form: str, *, sandbox: bool) -> None:
    """Print one line per recipient: state, reason, server's reply."""
    from campaign.reporting.log_export import lines  # noqa: PLC0415

    settings, definition = settings_of(file), definition_of(file)
    say(lines(settings, definition, state=state, form=form, sandbox=sandbox), end="", data=True)
    tell_if_old(settings, definition, sandbox=sandbox)
