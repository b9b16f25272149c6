"""The commands that only look: `status`, `log`, `report`."""

from __future__ import annotations

from pathlib import Path

import click

from campaign.cli.frame import FILE, SANDBOX, as_typed, commands, definition_of, loaded, say, settings_of


@commands.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a campaign.")
@SANDBOX
def status(file: Path | None, *, as_json: bool, sandbox: bool) -> None:
    """Show the counts of each state; without FILE, of every campaign in the log."""
    from campaign.reporting.log_export import statuses  # noqa: PLC0415

    definition = definition_of(file) if file else None
    say(statuses(settings_of(), definition, as_json=as_json, sandbox=sandbox, file=file))


@commands.command()
@FILE
@click.option("--state", type=click.Choice(["queued", "issuing", "sending", "sent", "failed", "uncertain", "skipped"]))
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@SANDBOX
def log(file: Path, state: str | None, form: str, *, sandbox: bool) -> None:
    """Print one line per recipient: state, reason, the server's words."""
    from campaign.reporting.log_export import lines  # noqa: PLC0415

    say(lines(settings_of(), definition_of(file), state=state, form=form, sandbox=sandbox), end="")


@commands.command()
@FILE
@click.option("--html", "out", type=click.Path(path_type=Path), required=True, help="Write the page to this file.")
@click.option("--with-addresses", is_flag=True, help="Show whose the rows are that need a decision.")
@SANDBOX
def report(file: Path, out: Path, *, with_addresses: bool, sandbox: bool) -> None:
    """Make a page to look back at a campaign: counts, pace, latency, replies, what to decide."""
    from campaign.cli.output_file import place_for, write_page  # noqa: PLC0415
    from campaign.reporting.report import MARK, report_page  # noqa: PLC0415

    (definition, settings), command = loaded(file), as_typed(file, sandbox=sandbox)
    place = place_for(out, mine=MARK)
    page = report_page(
        definition, settings, sandbox=sandbox, with_addresses=with_addresses, command=command, out=str(out)
    )
    write_page(place, page, mode=0o600)
    click.echo(f"Wrote {out}.")
