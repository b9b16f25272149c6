"""`campaign check`: list all problems of a campaign before anything is sent."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks

from campaign.cli.group import DONE, FILE, RECIPIENTS, WRONG_INPUT, commands, definition_of, say, settings_of


@commands.command()
@FILE
@RECIPIENTS
def check(file: Path, recipients: Path | None) -> None:
    """Find every problem of a campaign; nothing is sent.

    All rows are rendered with a dummy token. Neither Clerk nor the mail server is asked.
    """
    from campaign.reporting.check_report import check_campaign  # noqa: PLC0415

    report = check_campaign(definition_of(file, recipients), lambda: settings_of(file))
    say(report.lines())
    raise SystemExit(WRONG_INPUT if report.problems else DONE)
