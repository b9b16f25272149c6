"""The click group of all commands, `commands`, with the options, exit codes and functions that they share."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings

#: All that the command was to do is done. For `run`: every row of the CSV or, in batches, of this batch that was due is
#: sent or skipped, and at least one could be mailed. What waits for its time (a later batch, due time, hours, step
#: before, quota, share of the address), or is only in an earlier CSV, is not of it.
DONE = 0
#: Something of it is failed, uncertain or left (queued for a later try or the site's answer). A batch answers for its
#: own rows only.
UNFINISHED = 1
#: Wrong input or settings, so that nothing was sent; or every row of the CSV, or of the batch, was skipped for a fault
#: of its own, and none as too late, come back or no longer wanted.
WRONG_INPUT = 2
#: A service refuses all requests.
REFUSED = 3
#: Another run holds the log (EX_TEMPFAIL of sysexits.h).
HELD = 75
#: Ctrl-C, SIGTERM (128 + SIGINT), or a question that was not answered with yes.
INTERRUPTED = 130

FILE = click.argument("file", type=click.Path(path_type=Path))
SANDBOX = click.option(
    "--sandbox", is_flag=True, help="Use the embedded sandbox, even if the settings name real services."
)
RECIPIENTS = click.option(
    "--recipients", type=click.Path(path_type=Path), help="Use this CSV instead of the one in the campaign file."
)
YES = click.option("--yes", is_flag=True, help="Do it for real without asking.")
STEP = click.option("--step", metavar="NAME", help="The step to show or send; by default the first.")
LOCALE = click.option("--locale", metavar="NAME", help="The locale to show or send; by default the row's own.")
EMAIL = click.option("--email", metavar="ADDRESS", help="Only the recipient with this address.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="campaign")
def commands() -> None:
    """Send one email with a sign-in link to each user of a CSV, at most once.

    With neither CLERK_SECRET_KEY nor CAMPAIGN_SMTP_URL set, everything happens in a sandbox on this machine.
    """


def echo(text: str, *, err: bool = False) -> None:
    """Print a text; control characters in it, such as those of a file's name, become spaces."""
    from campaign.words import visible  # noqa: PLC0415

    click.echo(visible(text), err=err)


def say(lines: Iterable[str], *, end: str = "\n", data: bool = False) -> None:
    """Print lines until the reader closes the pipe: `campaign log FILE | head` ends with exit code 0.

    Args:
        lines: the lines; control characters in them become spaces.
        end: is printed after each line.
        data: the lines are rows of the log, a page or a mail, which are clean already and are printed unchanged.
    """
    from campaign.words import visible  # noqa: PLC0415

    shown = str if data else visible
    try:
        for line in lines:
            click.echo(shown(line) + end, nl=False)
    except BrokenPipeError:
        sys.stdout = None
        raise SystemExit(DONE) from None


def tell_if_old(settings: Settings, definition: Definition | None, *, sandbox: bool) -> None:
    """Say on stderr, beside what a command shows of a send log, that the log was moved to another place."""
    from campaign.reporting.old_log import old_log_notice  # noqa: PLC0415

    if notice := old_log_notice(settings, definition, sandbox=sandbox):
        echo(notice, err=True)


def awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it returns
    """Return the result of a coroutine."""
    from campaign.cli import event_loop  # noqa: PLC0415

    return event_loop.awaited(coroutine)


def settings_of(file: Path | None = None) -> Settings:
    """Return the settings from the environment and from `.env`, beside the campaign file or in the current folder."""
    from campaign.config.settings import load_settings  # noqa: PLC0415

    return load_settings(file)


def definition_of(file: Path, recipients: Path | None = None) -> Definition:
    """Return the definition in a campaign file."""
    from campaign.config.definition import load_definition  # noqa: PLC0415

    return load_definition(file, recipients=recipients)


def shown_definition_of(file: Path, recipients: Path | None = None) -> Definition:
    """Return the definition for a command that shows mails: Clerk's waitlist as the last run wrote it down."""
    from campaign.delivery.waitlist import written_down  # noqa: PLC0415

    definition = definition_of(file, recipients)
    return written_down(definition, settings_of(file), asked=False) if definition.recipients.clerk else definition


def loaded(file: Path, recipients: Path | None = None) -> tuple[Definition, Settings]:
    """Return the definition and the settings."""
    return definition_of(file, recipients), settings_of(file)


def as_typed(file: Path, recipients: Path | None = None, *, sandbox: bool, **options: object) -> str:
    """Return the end of a command line for the same campaign.

    Args:
        file: the campaign file.
        recipients: the CSV that was typed.
        sandbox: whether `--sandbox` was typed.
        options: further options by their Python names; those that are None, False or 0 were not typed.
    """
    words = [str(file)]
    for name, value in {"recipients": recipients, "sandbox": sandbox, **options}.items():
        if value:
            option = f"--{name.replace('_', '-')}"
            words += [option] if isinstance(value, bool) else [option, str(value)]
    return shlex.join(words)
