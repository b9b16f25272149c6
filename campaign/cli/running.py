"""The commands that make and send mail: `run`, `check`, `preview`, `test`."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks
from typing import TYPE_CHECKING

import click

from campaign.cli.frame import (
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
    definition_of,
    loaded,
    say,
    settings_of,
)
from campaign.errors import (
    CampaignError,
    CannotStartError,
    DeliveryError,
    PermanentError,
    TransientError,
    UncertainError,
)

if TYPE_CHECKING:
    from campaign.delivery.run import Result


#: What to do when a test mail has met its fate.
_AFTER_A_TEST: dict[type[DeliveryError], str] = {
    TransientError: "Nothing was sent; type the same command again in a while",
    PermanentError: "Nothing was sent; mend that, or name another address with --to",
    UncertainError: "Perhaps it was sent; look into the inbox before you type the command again",
}


@commands.command()
@FILE
@RECIPIENTS
@click.option("--limit", type=click.IntRange(min=1), help="Claim at most so many recipients in this run.")
@click.option("--no-wait", is_flag=True, help="End when nothing is due, instead of waiting for the next tries.")
@SANDBOX
@click.option("--yes", is_flag=True, help="Do not ask before sending for real.")
@click.option("--open", "browser", is_flag=True, help="Afterwards open the sandbox's inbox in the browser.")
def run(
    file: Path, recipients: Path | None, limit: int | None, *, no_wait: bool, sandbox: bool, yes: bool, browser: bool
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
    report = RunReport(console(), assume_yes=yes)
    try:
        result = awaited(app.run(definition, settings, report, sandbox=sandbox, wait=not no_wait, limit=limit))
    finally:
        report.close()
    reader = LogReader(result.services.log)
    try:
        reasons = reader.reasons(definition.name)
        command, again = as_typed(file, sandbox=sandbox), as_typed(file, recipients, sandbox=sandbox)
        report.finished(result, reasons, command=command, run=again)
    finally:
        reader.close()
    if browser and not result.interrupted:
        from campaign.cli.inbox import serve_again  # noqa: PLC0415

        awaited(serve_again(settings, say=click.echo))
    raise SystemExit(_exit_code(result))


@commands.command()
@FILE
@RECIPIENTS
def check(file: Path, recipients: Path | None) -> None:
    """Check everything that can be checked with nothing sent and nobody asked."""
    from campaign.cli.checking import examine  # noqa: PLC0415

    report = examine(definition_of(file, recipients), settings_of)
    say(report.lines())
    raise SystemExit(WRONG_INPUT if report.problems else DONE)


@commands.command()
@FILE
@RECIPIENTS
@click.option("--email", metavar="ADDRESS", help="The recipient to show; by default the first.")
@click.option("--html", is_flag=True, help="Print the HTML part.")
@click.option("--open", "browser", is_flag=True, help="Show it in the browser, with steps through all rows.")
def preview(file: Path, recipients: Path | None, email: str | None, *, html: bool, browser: bool) -> None:
    """Show one rendered email, with a dummy token in its links."""
    if browser:
        from campaign.cli.inbox import serve_preview  # noqa: PLC0415

        awaited(serve_preview(lambda: definition_of(file, recipients), email=email, say=click.echo))
        return
    from campaign.cli.preview import as_text, rendered  # noqa: PLC0415

    message = rendered(definition_of(file, recipients), email)
    click.echo(message.html if html else as_text(message))


@commands.command()
@FILE
@click.option("--to", required=True, metavar="ADDRESS", help="Where to: an address of your own.")
@click.option("--user-id", help="Put a real token of this Clerk user into the link.")
@RECIPIENTS
@SANDBOX
def test(file: Path, to: str, user_id: str | None, recipients: Path | None, *, sandbox: bool) -> None:
    """Send one real email to yourself, made from the first recipient's row."""
    from campaign.cli.operations import send_test  # noqa: PLC0415
    from campaign.message.dkim.signer import UNSIGNED  # noqa: PLC0415

    definition, settings = loaded(file, recipients)
    try:
        receipt, services = awaited(send_test(definition, settings, to, user_id=user_id, sandbox=sandbox))
    except ValueError as error:
        raise CannotStartError(f"--to {to}: {error}") from None
    except DeliveryError as error:
        raise CampaignError(f"{error}. {_AFTER_A_TEST[type(error)]}") from None
    whose = f"a token of {user_id}" if user_id and definition.link else "a dummy token that signs nobody in"
    click.echo(f"Sent to {to} through {services.smtp.label} ({receipt}). Its link carries {whose}.")
    if definition.dkim and settings.dkim_key is None:
        click.echo(f"{UNSIGNED}.")
    if services.maildir is not None:
        click.echo(f"This is the sandbox: the mail is in {services.maildir}/new.")


def _exit_code(result: Result) -> int:
    from campaign.model import Status  # noqa: PLC0415

    if result.interrupted:
        return INTERRUPTED
    here = result.summary.here
    unfinished = set(Status) - {Status.SENT, Status.SKIPPED}
    return UNFINISHED if any(here.get(status) for status in unfinished) else DONE
