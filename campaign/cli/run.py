"""`campaign run`: run a campaign, or resume it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks
from typing import TYPE_CHECKING

import click

from campaign.cli.consent import require_consent
from campaign.cli.group import (
    DONE,
    FILE,
    INTERRUPTED,
    RECIPIENTS,
    SANDBOX,
    UNFINISHED,
    WRONG_INPUT,
    YES,
    as_typed,
    awaited,
    commands,
    echo,
    loaded,
)
from campaign.cli.simulated_time import AT, SPEED, simulation_of
from campaign.errors import CannotStartError

if TYPE_CHECKING:
    from campaign.config.settings import Settings
    from campaign.delivery.observer import Result
    from campaign.delivery.sandbox_time import Simulation
    from campaign.reporting.causes import Cause
    from campaign.reporting.progress import RunReport


@commands.command()
@FILE
@RECIPIENTS
@click.option("--limit", type=click.IntRange(min=1), help="Send to at most this many recipients in this run.")
@click.option("--no-wait", is_flag=True, help="End when nothing is due now, instead of waiting for retries.")
@click.option("--wait-for-server", is_flag=True, help="Wait without an end for a server or database that is down.")
@SANDBOX
@click.option("--verbose", "-v", count=True, help="Log the run's events to stderr; twice: each attempt, too.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="The format of the log; implies --verbose.")
@YES
@click.option("--fresh", is_flag=True, help="Start afresh, in the sandbox only: mail everybody again.")
@AT
@SPEED
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
    fresh: bool,
    at: str | None,
    speed: str | None,
    browser: bool,
) -> None:
    """Run a campaign, or resume it."""
    from campaign.delivery import run as app  # noqa: PLC0415
    from campaign.delivery.log_outage import until_answered  # noqa: PLC0415
    from campaign.reporting.causes import causes  # noqa: PLC0415
    from campaign.reporting.progress import RunReport, console  # noqa: PLC0415
    from campaign.sendlog import LogReader  # noqa: PLC0415

    definition, settings = loaded(file, recipients)
    in_sandbox = require_consent(definition, settings, sandbox=sandbox, yes=yes, verb="send")
    if browser and not in_sandbox:
        raise CannotStartError("--open shows the sandbox's inbox, and this would send for real: leave it out.")
    simulation = simulation_of(at, speed, zone=definition.schedule.default_zone, in_sandbox=in_sandbox)
    if fresh:
        if not in_sandbox:
            raise CannotStartError("--fresh mails everybody again and is for the sandbox; this would send for real.")
        _forget(settings, simulation)
    if verbose or log_format:
        from campaign.cli.log_output import show_logs  # noqa: PLC0415

        show_logs(verbose=verbose, form=log_format or "text")
    report = RunReport(console(), definition, settings, assume_yes=yes)
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
                simulation=simulation,
            )
        )
    finally:
        report.close()

    def causes_of() -> list[Cause]:
        with closing(LogReader(result.services.log)) as reader:
            return causes(reader.explanations(definition.name))

    command = as_typed(file, sandbox=sandbox)
    options = {"limit": limit, "no_wait": no_wait, "verbose": verbose > 0, "log_format": log_format, "yes": yes}
    options["speed"] = speed  # and not --at: the next run goes on from where this one ends
    again = as_typed(file, recipients, sandbox=sandbox, **options)
    found = awaited(until_answered(causes_of, echo))
    report.finished(result, found, command=command, run=again)
    in_batches = (limit or definition.recipients.batch) is not None
    code = _exit_code(result, report, found, in_batches=in_batches)
    if code == WRONG_INPUT:
        which = "No recipient of this batch" if in_batches else f"No row of {definition.recipients.file}"
        echo(f"{which} can be mailed; the table says why.")
    if browser and not result.interrupted:
        from campaign.cli.inbox import serve_again  # noqa: PLC0415

        awaited(serve_again(settings, say=echo))
    raise SystemExit(code)


def _forget(settings: Settings, simulation: Simulation | None) -> None:
    """Start afresh in the sandbox, and say which mails were deleted because they are later than the beginning."""
    from campaign.clock import SystemClock  # noqa: PLC0415
    from campaign.delivery.services import forget_sandbox_runs  # noqa: PLC0415
    from campaign.reporting.summary import number  # noqa: PLC0415

    at = simulation.at if simulation else None
    if deleted := forget_sandbox_runs(settings, begins_at=SystemClock().now() if at is None else at):
        echo(f"--fresh: {number(deleted, 'mail')} of the sandbox, later than this run's beginning, deleted.")


def _exit_code(result: Result, report: RunReport, causes: list[Cause], *, in_batches: bool) -> int:
    """Return the exit code; the rule stands beside the codes in `group.py`."""
    from campaign.delivery.eligibility import is_no_fault  # noqa: PLC0415
    from campaign.model import Status  # noqa: PLC0415
    from campaign.reporting.later import later  # noqa: PLC0415

    if result.interrupted:
        return INTERRUPTED
    here = result.summary.here
    csv = {status for status, number in here.items() if number}
    tally = report.tally if in_batches else here
    ended = {status for status, number in tally.items() if number and status is not Status.QUEUED}
    left = here.get(Status.QUEUED, 0) > later(result.summary)
    is_wrong_input = {Status.SKIPPED} in (csv, ended if in_batches and not left else ())
    if is_wrong_input and not any(cause.state is Status.SKIPPED and is_no_fault(cause.words) for cause in causes):
        return WRONG_INPUT
    return UNFINISHED if left or ended - {Status.SENT, Status.SKIPPED, Status.BOUNCED} else DONE
