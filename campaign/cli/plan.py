"""`campaign plan`: show who would be mailed when."""

from __future__ import annotations

from pathlib import Path

import click

from campaign.cli.group import FILE, RECIPIENTS, SANDBOX, commands, echo, loaded, say, tell_if_old


@commands.command()
@FILE
@RECIPIENTS
@click.option("--days", type=click.IntRange(min=1, max=3660), help="Show at most this many days; by default all.")
@click.option("--html", "out", type=click.Path(path_type=Path), help="Write a page to this file instead.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@SANDBOX
def plan(
    file: Path, recipients: Path | None, days: int | None, out: Path | None, *, as_json: bool, sandbox: bool
) -> None:
    """Show who would be mailed when, by hour.

    The plan starts now and keeps the limits, batches, hours, due times and steps. Mails that the send log has as sent
    are left out. The command calls no service, sends nothing and changes nothing.
    """
    import json  # noqa: PLC0415

    from campaign.cli.output_file import place_for, write_page  # noqa: PLC0415
    from campaign.planning import forecast  # noqa: PLC0415
    from campaign.reporting.plan import MARK, plan_lines, plan_object, plan_page  # noqa: PLC0415

    definition, settings = loaded(file, recipients)
    place = place_for(out, mine=MARK) if out else None
    found = forecast(definition, settings, sandbox=sandbox)
    if place is not None:
        write_page(place, plan_page(found, days=days), mode=0o600)
    if as_json:
        say([json.dumps(plan_object(found, days=days), ensure_ascii=False)], data=True)
    elif place is None:
        say(plan_lines(found, days=days))
    else:
        echo(f"Wrote {out}.")
    tell_if_old(settings, definition, sandbox=sandbox)
