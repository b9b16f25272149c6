"""`campaign run`: run a campaign, or resume it."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks
from typing import TYPE_CHECKING

import click

from campaign.cli.group import (
    DONE,
    FILE,
    INTERRUPTED,
    RECIPIENTS,
    SANDBOX,
    UNFINISHED,
    WRONG_INPUT,
    as_typed,
    awaited,
    commands,
    loaded,
)
from campaign.errors import CannotStartError

if TYPE_CHECKING:
    from campaign.delivery.observer import Result


@commands.command()
@FILE
@RECIPIENTS
@click.option("--limit", type=click.IntRange(min=1), help="Send to at most this many recipients in this run.")
@click.option("--no-wait", is_flag=True, help="End when nothing is due now, instead of waiting for retries.")
@click.option("--wait-for-server", is_flag=True, help="Wait without an end for a server that is down from the start.")
@SANDBOX
@click.option("--verbose", "-v", count=True, help="Log the run's events to stderr; twice: each attempt, too.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="The format of the log; implies --verbose.")
@click.option("--yes", is_flag=True, help="Send for real without asking.")
@click.option("--open", "browser", is_flag=True, help="Open the sandbox's inbox in the browser afterwards.")
def run(
    file: Path,
    recipients: Path | None,
    limit: int | None,
    *,
    no_wait: bool,
    wait_for_server: bool,
    sandbox: bool,
    verbose: int,
    log_format: str | None,
    yes: bool,
    browser: bool,
) -> None:
    """Run a campaign, or resume it."""
    from campaign.delivery import run as app  # noqa: PLC0415
    from campaign.delivery.services import is_sandbox  # noqa: PLC0415
    from campaign.reporting.progress import RunReport, console  # noqa: PLC0415
    from campaign.sendlog import LogReader  # noqa: PLC0415

    definition, settings = loaded(file, recipients)
    if not (yes or sys.stdin.isatty() or is_sandbox(definition, settings, asked=sandbox)):
        raise CannotStartError("this would send for real, and there is no terminal to ask on: add --yes to go on.")
    if browser and not is_sandbox(definition, settings, asked=sandbox):
        raise CannotStartError("--open shows the sandbox's inbox, and this would send for real: leave it out.")
    if verbose or log_format:
        from campaign.cli.log_output import show_logs  # noqa: PLC0415

        show_logs(verbose=verbose, form=log_format or "text")
    report = RunReport(console(), assume_yes=yes)
    try:
        result = awaited(
            app.run(
                definition,
                settings,
                report,
                sandbox=sandbox,
                wait=not no_wait,
                limit=limit,
                wait_for_server=wait_for_server,
            )
        )
    finally:
        report.close()
    reader = LogReader(result.services.log)
    try:
        reasons = reader.reasons(definition.name)
        command, again = as_typed(file, sandbox=sandbox), as_typed(file, recipients, sandbox=sandbox)
        report.finished(result, reasons, command=command, run=again)
    finally:
        reader.close()
    code = _exit_code(result)
    if code == WRONG_INPUT:
        click.echo(f"No row of {definition.recipients.file} can be mailed; the table says why.")
    if browser and not result.interrupted:
        from campaign.cli.inbox import serve_again  # noqa: PLC0415

        awaited(serve_again(settings, say=click.echo))
    raise SystemExit(code)


def _exit_code(result: Result) -> int:
    from campaign.model import Status  # noqa: PLC0415

    if result.interrupted:
        return INTERRUPTED
    here = {status for status, number in result.summary.here.items() if number}
    if here == {Status.SKIPPED}:
        return WRONG_INPUT
    unfinished = set(Status) - {Status.SENT, Status.SKIPPED}
    return UNFINISHED if here & unfinished else DONE
