"""The program as a library: `check`, `run` and `status` take a campaign file, as the command line does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from campaign.config.definition import load_definition
from campaign.config.settings import Settings, load_settings
from campaign.delivery.observer import Observer, Result, SilentObserver
from campaign.delivery.run import run as run_definition
from campaign.delivery.services import clock_of, log_path
from campaign.reporting.check_report import CheckReport, check_campaign
from campaign.sendlog import LogReader

if TYPE_CHECKING:
    from campaign.sendlog import Summary

__all__ = ["CheckReport", "Observer", "Result", "Settings", "check", "run", "status"]


def check(file: str | Path, *, recipients: str | Path | None = None, settings: Settings | None = None) -> CheckReport:
    """Return every problem and warning of a campaign; nothing is sent and no service is asked.

    Args:
        file: the campaign file.
        recipients: a CSV to use instead of the one in the campaign file.
        settings: the settings; by default those of the environment and `.env`.

    Raises:
        DefinitionError: the campaign file cannot be read. Every other problem is in the report.
    """
    definition = load_definition(Path(file), recipients=_path(recipients))
    return check_campaign(definition, lambda: settings or load_settings(definition.path))


async def run(
    file: str | Path,
    *,
    recipients: str | Path | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
    sandbox: bool = False,
    wait: bool = True,
    limit: int | None = None,
    wait_for_server: bool = False,
) -> Result:
    """Run a campaign, or resume it, and return how it ended.

    It sends for real without a question, unless the settings or `sandbox` select the sandbox. SIGINT and SIGTERM stop
    it after the deliveries under way, as they do on the command line. Progress is logged under `campaign.run`.

    Args:
        file: the campaign file.
        recipients: a CSV to use instead of the one in the campaign file.
        settings: the settings; by default those of the environment and `.env`.
        observer: told what happens, and asked before anything is sent.
        sandbox: use the embedded sandbox, whatever the settings are.
        wait: wait for retries and pauses; False ends the run when nothing is due now.
        limit: the most recipients to send to; None for all.
        wait_for_server: wait without an end for a service that does not work from the start, or for the log's database;
            False ends the run after five minutes, or at once if the database is away.

    Raises:
        CannotStartError: the campaign file, the CSV, a template or the settings are wrong; nothing was sent.
        LogHeldError: another run holds the send log.
        ServiceRefusesError: Clerk or the mail server refuses this program.
        SendLogError: the send log cannot be written any longer.
    """
    definition = load_definition(Path(file), recipients=_path(recipients))
    return await run_definition(
        definition,
        settings or load_settings(definition.path),
        observer or SilentObserver(),
        sandbox=sandbox,
        wait=wait,
        limit=limit,
        wait_for_server=wait_for_server,
    )


def status(file: str | Path, *, settings: Settings | None = None, sandbox: bool = False) -> Summary:
    """Return the counts of each state, also while a run goes on; all zero before the first run.

    Args:
        file: the campaign file.
        settings: the settings; by default those of the environment and `.env`.
        sandbox: look into the sandbox's send log, whatever the settings are.

    Raises:
        DefinitionError: the campaign file cannot be read.
        SendLogUnusableError: there is no send log, or it cannot be read.
    """
    definition = load_definition(Path(file))
    settings = settings or load_settings(definition.path)
    path = log_path(settings, definition, asked=sandbox)
    reader = LogReader(path)
    try:
        return reader.summary(definition.name, now=clock_of(settings, path).now())
    finally:
        reader.close()


def _path(file: str | Path | None) -> Path | None:
    return None if file is None else Path(file)
