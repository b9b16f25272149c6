"""`campaign watch`: keep several campaigns running, until Ctrl-C or SIGTERM."""

from __future__ import annotations

from pathlib import Path

import click

from campaign.cli.consent import require_consent
from campaign.cli.group import DONE, INTERRUPTED, SANDBOX, YES, awaited, commands, settings_of
from campaign.cli.simulated_time import AT, SPEED, simulation_of


@commands.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), help="Answer /healthz and /metrics at this port of 127.0.0.1.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="The format of the log.")
@click.option("--verbose", "-v", is_flag=True, help="Log each attempt, too.")
@SANDBOX
@YES
@AT
@SPEED
def watch(
    files: tuple[Path, ...],
    port: int | None,
    log_format: str,
    *,
    verbose: bool,
    sandbox: bool,
    yes: bool,
    at: str | None,
    speed: str | None,
) -> None:
    """Keep campaigns running: new rows, due mails, changes.

    It sends what becomes due, takes up new rows when a CSV changes, and reads a changed campaign file again. The
    campaigns share one send log and the mail server's and Clerk's rates. The first Ctrl-C or SIGTERM finishes what is
    in hand and ends with 0, the second stops at once.
    """
    from campaign.cli.log_output import show_logs  # noqa: PLC0415
    from campaign.reporting.progress import console  # noqa: PLC0415
    from campaign.reporting.watch_start import WatchStart  # noqa: PLC0415
    from campaign.watching.engine import WatchOptions  # noqa: PLC0415
    from campaign.watching.engine import watch as keep_watch  # noqa: PLC0415
    from campaign.watching.version import CampaignVersion  # noqa: PLC0415

    versions = [CampaignVersion.load(file, settings_of(file)) for file in files]
    definitions = [version.definition for version in versions]
    settings = [version.settings for version in versions]
    is_sandbox = [
        require_consent(definition, each, sandbox=sandbox, yes=yes, verb="send")
        for definition, each in zip(definitions, settings, strict=True)
    ]
    simulation = simulation_of(at, speed, zone=definitions[0].schedule.default_zone, in_sandbox=all(is_sandbox))
    show_logs(verbose=2 if verbose else 1, form=log_format)
    report = WatchStart(console(), versions, assume_yes=yes)
    goes_on = awaited(keep_watch(versions, WatchOptions(sandbox, simulation, port), report))
    raise SystemExit(DONE if goes_on else INTERRUPTED)
