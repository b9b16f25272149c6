"""`campaign report`: write a page with the figures of a campaign."""

from __future__ import annotations

from pathlib import Path

import click

from campaign.cli.group import FILE, SANDBOX, as_typed, commands, echo, loaded, tell_if_old


@commands.command()
@FILE
@click.option("--html", "out", type=click.Path(path_type=Path), required=True, help="Write the page to this file.")
@click.option(
    "--with-addresses", is_flag=True, help="Show the addresses, keys and user ids of the rows that need a decision."
)
@SANDBOX
def report(file: Path, out: Path, *, with_addresses: bool, sandbox: bool) -> None:
    """Write an HTML page with the figures of a campaign.

    It shows the counts, the rates over time, latencies, replies, and the rows that need a decision.
    """
    from campaign.cli.output_file import place_for, write_page  # noqa: PLC0415
    from campaign.reporting.report import MARK, report_page  # noqa: PLC0415

    (definition, settings), command = loaded(file), as_typed(file, sandbox=sandbox)
    place = place_for(out, mine=MARK)
    page = report_page(
        definition, settings, sandbox=sandbox, with_addresses=with_addresses, command=command, out=str(out)
    )
    write_page(place, page, mode=0o600)
    echo(f"Wrote {out}.")
    tell_if_old(settings, definition, sandbox=sandbox)
