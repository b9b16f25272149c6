"""`campaign status`: show the counts of each state."""

from __future__ import annotations

from pathlib import Path

import click

from campaign.cli.group import SANDBOX, commands, definition_of, say, settings_of, tell_if_old


@commands.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each campaign.")
@SANDBOX
def status(file: Path | None, *, as_json: bool, sandbox: bool) -> None:
    """Show how many recipients are in each state.

    Without FILE it shows every campaign in the send log.
    """
    from campaign.reporting.status import statuses  # noqa: PLC0415

    definition, settings = definition_of(file) if file else None, settings_of(file)
    say(statuses(settings, definition, as_json=as_json, sandbox=sandbox, file=file))
    if as_json:
        tell_if_old(settings, definition, sandbox=sandbox)
