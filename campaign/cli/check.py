"""`campaign check`: list all problems of a campaign before anything is sent."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks

import click

from campaign.cli.group import DONE, FILE, RECIPIENTS, WRONG_INPUT, awaited, commands, definition_of, say, settings_of


@commands.command()
@FILE
@RECIPIENTS
@click.option("--online", is_flag=True, help="Also ask the DNS, the mail server and the campaign's pages.")
@click.option("--resolver", metavar="ADDRESS", help="With --online: the DNS server to ask; by default the system's.")
def check(file: Path, recipients: Path | None, resolver: str | None, *, online: bool) -> None:
    """Find every problem of a campaign; nothing is sent.

    All rows are rendered with a dummy token. Clerk is not asked, nor anybody else without --online.
    """
    from campaign.reporting.check_report import check_campaign  # noqa: PLC0415

    if resolver is not None and not online:
        raise click.UsageError("--resolver needs --online")
    report = check_campaign(definition_of(file, recipients), lambda: settings_of(file))
    if online:
        from campaign.reporting.online_check import check_online  # noqa: PLC0415

        awaited(check_online(report, lambda: settings_of(file), resolver=resolver))
    say(report.lines())
    raise SystemExit(WRONG_INPUT if report.problems else DONE)
