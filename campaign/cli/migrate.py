"""`campaign migrate`: make the tables of a send log, or bring them up to date."""

from __future__ import annotations

from pathlib import Path

import click

from campaign.cli.group import commands, say, settings_of
from campaign.errors import SendLogUnusableError


@commands.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
def migrate(file: Path | None) -> None:
    """Make the tables of a send log in PostgreSQL, or update them.

    Every command that writes does so by itself, if its user may. This one is for the owner of the tables, where runs
    have a user that must not make or change any. FILE is the campaign file beside which .env is read.
    """
    from campaign.sendlog import exists  # noqa: PLC0415
    from campaign.sendlog import migrate as bring_up_to_date  # noqa: PLC0415

    log = settings_of(file).log_of(file)
    if isinstance(log, Path) and not exists(log):
        raise SendLogUnusableError(f"there is no send log {log}; `campaign run FILE` creates it")
    bring_up_to_date(log)
    say([f"The send log {log} has the tables of this version; runs can use it."])
