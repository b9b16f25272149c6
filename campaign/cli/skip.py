"""`campaign skip`: send nothing more to a recipient, or to those who left the CSV."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks

import click

from campaign.cli.group import DONE, FILE, RECIPIENTS, SANDBOX, UNFINISHED, as_typed, commands, loaded, say
from campaign.errors import CannotStartError


@commands.command()
@FILE
@click.option("--key", metavar="KEY", help="The recipient with this key (by default the user id).")
@click.option("--reason", metavar="TEXT", help="Why; `campaign log` shows it.")
@click.option("--missing", is_flag=True, help="All queued recipients that are not in the CSV any more.")
@RECIPIENTS
@SANDBOX
def skip(
    file: Path, key: str | None, reason: str | None, *, missing: bool, recipients: Path | None, sandbox: bool
) -> None:
    """Send nothing more to a recipient, also beside a run.

    A message that was sent, or is being sent, is not stopped. `campaign retry` with --state skipped and --email undoes
    it.
    """
    from campaign.delivery.operator_commands import skip_rows  # noqa: PLC0415
    from campaign.model import Status  # noqa: PLC0415
    from campaign.reporting.summary import number  # noqa: PLC0415
    from campaign.words import printable  # noqa: PLC0415

    if (key is None) != missing or (missing and reason is not None):
        raise click.UsageError("add --key KEY (one recipient, with --reason TEXT if you like) or --missing.")
    definition, settings = loaded(file, recipients)
    why = "skipped by hand" + (f": {printable(reason)}" if reason else "")
    if missing:
        why = "not in the CSV any more"
    count, state = skip_rows(definition, settings, key=key, reason=why, sandbox=sandbox)
    if missing:
        gone = f"{number(count, 'recipient')} skipped, because {definition.recipients.file} has no such row any more."
        say([gone if count else f"Every queued recipient is in {definition.recipients.file}; there was nothing to do."])
        raise SystemExit(DONE)
    if state is None:
        command = as_typed(file, sandbox=sandbox)
        raise CannotStartError(
            f"{definition.name} has no recipient with the key {key}; campaign log {command} lists all"
        )
    if count:
        under_way = state in {Status.ISSUING, Status.SENDING}
        last = " after the one that a run is sending" if under_way else ""
        say([f"{key} is skipped and gets no mail of {definition.name}{last}."])
        raise SystemExit(DONE)
    say([f"{key} is not skipped: {_TOO_LATE[state]}."])
    raise SystemExit(DONE if state in {Status.SENT, Status.UNCERTAIN} else UNFINISHED)


#: Why a recipient in this state cannot be skipped any more.
_TOO_LATE = {
    "sent": "the mail was sent",
    "uncertain": "the mail may have been sent; no run sends it again",
    "issuing": "a run is sending the mail, or was interrupted in it",
    "sending": "a run is sending the mail, or was interrupted in it",
}
