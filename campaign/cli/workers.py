"""`campaign workers`: show the runs that share a send log in PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import click

from campaign.cli.group import SANDBOX, commands, definition_of, say, settings_of, tell_if_old


@commands.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each run.")
@SANDBOX
def workers(file: Path | None, *, as_json: bool, sandbox: bool) -> None:
    """Show which runs share the send log, and what each has.

    Without FILE it shows the runs of every campaign in the send log.
    """
    from campaign.reporting.workers import worker_lines  # noqa: PLC0415

    definition, settings = definition_of(file) if file else None, settings_of(file)
    say(worker_lines(settings, definition, as_json=as_json, sandbox=sandbox))
    tell_if_old(settings, definition, sandbox=sandbox)
