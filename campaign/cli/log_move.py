"""`campaign log move`: move the send log to PostgreSQL or to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from campaign.cli.group import DONE, definition_of, echo, say, settings_of
from campaign.errors import SettingsError

if TYPE_CHECKING:
    from campaign.sendlog import LogLocation


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--to",
    "target",
    metavar="LOCATION",
    required=True,
    help="Where it is to be: postgresql://user@host/database, or the path of a file.",
)
def move(file: Path | None, target: str) -> None:
    """Move the send log to another place, with all its campaigns.

    The log is that of CAMPAIGN_LOG or, without it, send-log.db beside FILE or in the current folder. Every row is
    copied to LOCATION and compared there. Then the old log takes no changes any more and names the new place, so that
    no run can mail everybody again from it.

    Runs must have ended (exit code 75), and other commands that change the log get an error meanwhile. If the move is
    killed, the same command goes on. Back it goes in the same way: CAMPAIGN_LOG is then the new place, and LOCATION the
    old one. The password may be left to PGPASSWORD or ~/.pgpass.
    """
    from campaign.clock import SystemClock  # noqa: PLC0415
    from campaign.reporting.move_report import move_lines  # noqa: PLC0415
    from campaign.sendlog.move import move_log  # noqa: PLC0415

    if file is not None:
        definition_of(file)  # a wrong name is an error, and not the log of a folder
    source, place = settings_of(file).log_of(file), _location(target)
    result = move_log(source, place, now=SystemClock().now(), say=lambda line: echo(f"{line} ...", err=True))
    say(move_lines(result, source, place))
    raise SystemExit(DONE)


def _location(text: str) -> LogLocation:
    from campaign.config.postgres_url import parse_log  # noqa: PLC0415

    try:
        found = parse_log(text)
    except ValueError as error:
        raise SettingsError(f"--to: {error}.") from None
    if isinstance(found, str):
        if not text or "\0" in text:
            raise SettingsError("--to: write the path of a file, or postgresql://user:password@host/database.")
        return Path(found)
    return found
