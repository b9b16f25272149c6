"""The command line: a thin skin over the parts, and the only place that prints. Imports wait until they are needed."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from campaign.errors import CampaignError, CannotStartError, LogHeldError, ServiceRefusesError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator

    from campaign.app import Result
    from campaign.definition import Definition
    from campaign.operations import Settled
    from campaign.settings import Settings

_DONE, _UNFINISHED, _WRONG_INPUT, _REFUSED, _HELD, _INTERRUPTED = 0, 1, 2, 3, 75, 130

_FILE = click.argument("file", type=click.Path(path_type=Path))
_SANDBOX = click.option("--sandbox", is_flag=True, help="Work in the embedded sandbox, whatever is set.")
_RECIPIENTS = click.option("--recipients", type=click.Path(path_type=Path), help="This CSV instead of the file's own.")
_EMAIL = click.option("--email", metavar="ADDRESS", help="Only the recipient with this address.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="campaign")
def cli() -> None:
    """Send one email with a sign-in link to each user of a CSV, at most once.

    With neither CLERK_SECRET_KEY nor CAMPAIGN_SMTP_URL set, everything happens in a sandbox on this machine.
    """


@cli.command()
@_FILE
@_RECIPIENTS
@click.option("--limit", type=click.IntRange(min=1), help="Claim at most so many recipients in this run.")
@click.option("--no-wait", is_flag=True, help="End when nothing is due, instead of waiting for the next tries.")
@_SANDBOX
@click.option("--yes", is_flag=True, help="Do not ask before sending for real.")
@click.option("--open", "browser", is_flag=True, help="Afterwards open the sandbox's inbox in the browser.")
def run(
    file: Path, recipients: Path | None, limit: int | None, *, no_wait: bool, sandbox: bool, yes: bool, browser: bool
) -> None:
    """Run a campaign, or resume it."""
    from campaign import app  # noqa: PLC0415
    from campaign.report import RunReport, console  # noqa: PLC0415
    from campaign.sendlog import LogReader  # noqa: PLC0415
    from campaign.venue import is_sandbox  # noqa: PLC0415

    definition, settings = _loaded(file, recipients)
    if not (yes or sys.stdin.isatty() or is_sandbox(definition, settings, asked=sandbox)):
        raise CannotStartError("this would send for real, and there is no terminal to ask on: add --yes to go on.")
    if browser and not is_sandbox(definition, settings, asked=sandbox):
        raise CannotStartError("--open shows the sandbox's inbox, and this would send for real: leave it out.")
    report = RunReport(console(), assume_yes=yes)
    try:
        result = _await(app.run(definition, settings, report, sandbox=sandbox, wait=not no_wait, limit=limit))
    finally:
        report.close()
    reader = LogReader(result.venue.log)
    try:
        reasons = reader.reasons(definition.name)
        command, again = _as_typed(file, None, sandbox=sandbox), _as_typed(file, recipients, sandbox=sandbox)
        report.finished(result, reasons, command=command, run=again)
    finally:
        reader.close()
    if browser and not result.interrupted:
        from campaign.inbox import serve_again  # noqa: PLC0415

        _await(serve_again(settings, say=click.echo))
    raise SystemExit(_exit_code(result))


@cli.command()
@_FILE
@_RECIPIENTS
def check(file: Path, recipients: Path | None) -> None:
    """Check everything that can be checked with nothing sent and nobody asked."""
    from campaign.checking import examine  # noqa: PLC0415

    report = examine(_definition(file, recipients))
    _say(report.lines())
    raise SystemExit(_WRONG_INPUT if report.problems else _DONE)


@cli.command()
@_FILE
@_RECIPIENTS
@click.option("--email", metavar="ADDRESS", help="The recipient to show; by default the first.")
@click.option("--html", is_flag=True, help="Print the HTML part.")
@click.option("--open", "browser", is_flag=True, help="Show it in the browser, with steps through all rows.")
def preview(file: Path, recipients: Path | None, email: str | None, *, html: bool, browser: bool) -> None:
    """Show one rendered email, with a dummy token in its links."""
    if browser:
        from campaign.inbox import serve_preview  # noqa: PLC0415

        _await(serve_preview(lambda: _definition(file, recipients), email=email, say=click.echo))
        return
    from campaign.preview import as_text, rendered  # noqa: PLC0415

    message = rendered(_definition(file, recipients), email)
    click.echo(message.html if html else as_text(message))


@cli.command()
@_FILE
@click.option("--to", required=True, metavar="ADDRESS", help="Where to: an address of your own.")
@click.option("--user-id", help="Put a real token of this Clerk user into the link.")
@_RECIPIENTS
@_SANDBOX
def test(file: Path, to: str, user_id: str | None, recipients: Path | None, *, sandbox: bool) -> None:
    """Send one real email to yourself, made from the first recipient's row."""
    from campaign.operations import send_test  # noqa: PLC0415

    definition, settings = _loaded(file, recipients)
    try:
        receipt, venue = _await(send_test(definition, settings, to, user_id=user_id, sandbox=sandbox))
    except ValueError as error:
        raise CannotStartError(f"--to {to}: {error}") from None
    whose = f"a token of {user_id}" if user_id and definition.link else "a dummy token that signs nobody in"
    click.echo(f"Sent to {to} through {venue.smtp.label} ({receipt}). Its link carries {whose}.")
    if venue.maildir is not None:
        click.echo(f"This is the sandbox: the mail is in {venue.maildir}/new.")


@cli.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a campaign.")
@_SANDBOX
def status(file: Path | None, *, as_json: bool, sandbox: bool) -> None:
    """Show the counts of each state; without FILE, of every campaign in the log."""
    from campaign.showing import statuses  # noqa: PLC0415

    definition = _definition(file, None) if file else None
    _say(statuses(_settings(), definition, as_json=as_json, sandbox=sandbox, file=file))


@cli.command()
@_FILE
@click.option("--state", type=click.Choice(["queued", "issuing", "sending", "sent", "failed", "uncertain", "skipped"]))
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@_SANDBOX
def log(file: Path, state: str | None, form: str, *, sandbox: bool) -> None:
    """Print one line per recipient: state, reason, the server's words."""
    from campaign.showing import lines  # noqa: PLC0415

    _say(lines(_settings(), _definition(file, None), state=state, form=form, sandbox=sandbox), end="")


@cli.command()
@_FILE
@click.option("--html", "out", type=click.Path(path_type=Path), required=True, help="Write the page to this file.")
@click.option("--with-addresses", is_flag=True, help="Show whose the rows are that need a decision.")
@_SANDBOX
def report(file: Path, out: Path, *, with_addresses: bool, sandbox: bool) -> None:
    """Make a page to look back at a campaign: counts, pace, latency, replies, what to decide."""
    from campaign.outfile import place_for, write_page  # noqa: PLC0415
    from campaign.retrospect import MARK, report_page  # noqa: PLC0415

    (definition, settings), command = _loaded(file, None), _as_typed(file, None, sandbox=sandbox)
    place = place_for(out, mine=MARK)
    page = report_page(
        definition, settings, sandbox=sandbox, with_addresses=with_addresses, command=command, out=str(out)
    )
    write_page(place, page, mode=0o600)
    click.echo(f"Wrote {out}.")


@cli.command()
@_FILE
@click.option("--state", type=click.Choice(["failed", "skipped"]), default="failed", show_default=True)
@_EMAIL
@_SANDBOX
def retry(file: Path, state: str, email: str | None, *, sandbox: bool) -> None:
    """Put failed recipients back into the queue."""
    from campaign.model import Status  # noqa: PLC0415
    from campaign.operations import retry_rows  # noqa: PLC0415

    definition, settings = _loaded(file, None)
    settled = _await(retry_rows(definition, settings, state=Status(state), email=email, sandbox=sandbox))
    _tell(settled, _as_typed(file, None, sandbox=sandbox))


@cli.command()
@_FILE
@click.option("--resend", "decision", flag_value="resend", help="Revoke the old links and queue the recipients again.")
@click.option("--keep", "decision", flag_value="keep", help="Take the recipients as sent.")
@_EMAIL
@_SANDBOX
def resolve(file: Path, decision: str | None, email: str | None, *, sandbox: bool) -> None:
    """Decide about recipients who may have the mail or not."""
    from campaign.operations import resolve_rows  # noqa: PLC0415

    if decision is None:
        raise click.UsageError("say --keep (take them as sent) or --resend (revoke the old link and send again).")
    definition, settings = _loaded(file, None)
    resend = decision == "resend"
    settled = _await(resolve_rows(definition, settings, resend=resend, email=email, sandbox=sandbox))
    _tell(settled, _as_typed(file, None, sandbox=sandbox))


@cli.command()
@_FILE
@_SANDBOX
def revoke(file: Path, *, sandbox: bool) -> None:
    """Kill switch: revoke every token of the campaign that may still be pending."""
    from campaign.operations import revoke_tokens  # noqa: PLC0415

    definition, settings = _loaded(file, None)
    _tell(_await(revoke_tokens(definition, settings, sandbox=sandbox)), _as_typed(file, None, sandbox=sandbox))


@cli.command()
@click.option("--publishable-key", metavar="KEY", help="Clerk's pk_…; by default CLERK_PUBLISHABLE_KEY.")
@click.option("--redirect", metavar="URL", help="Where people go once signed in: /a/path or https://….")
@click.option("--parameter", default="token", show_default=True, help="link.parameter of the campaign file.")
@click.option("--framework", type=click.Choice(["next"]), help="A page for Next.js with @clerk/nextjs.")
@click.option("--router", type=click.Choice(["app", "pages"]), help="Which router of Next.js; by default app.")
@click.option("--out", type=click.Path(path_type=Path), help="Write it to this file instead of the terminal.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def landing(*, out: Path | None, force: bool, **choices: Any) -> None:  # noqa: ANN401 - of `chosen_page`
    """Write the page that the links of the mail lead to."""
    from campaign.landing import chosen_page  # noqa: PLC0415
    from campaign.outfile import place_for, write_page  # noqa: PLC0415

    page = chosen_page(lambda: _settings().clerk_publishable_key, **choices)
    if out is None:
        _say([page], end="")
    else:
        write_page(place_for(out, force=force), page, mode=0o644)
        click.echo(f"Wrote {out}; how to serve it stands at its top.")


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8025, show_default=True, help="Of inbox and Clerk.")
@click.option("--smtp-port", type=click.IntRange(0, 65535), default=1025, show_default=True, help="Of the mail server.")
@click.option("--clerk-limits", is_flag=True, help="Answer 429 where Clerk's documented rate limits are passed.")
def sandbox(port: int, smtp_port: int, *, clerk_limits: bool) -> None:
    """Serve the sandbox until Ctrl-C: inbox, landing page, Clerk's APIs and a mail server, on this machine only."""
    from campaign.inbox import serve  # noqa: PLC0415

    _await(serve(_settings(), port=port, smtp_port=smtp_port, clerk_limits=clerk_limits, say=click.echo))


def main() -> None:
    """Run the command line; every error of ours is a sentence and an exit code, and never a traceback."""
    with _sentences():
        raise SystemExit(cli(prog_name="campaign", standalone_mode=False))


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except ServiceRefusesError as error:
        _fail(error, _REFUSED)
    except LogHeldError as error:
        _fail(error, _HELD)
    except CannotStartError as error:
        _fail(error, _WRONG_INPUT)
    except CampaignError as error:
        _fail(error, _UNFINISHED)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, click.Abort):
        raise SystemExit(_INTERRUPTED) from None


def _fail(error: CampaignError, code: int) -> None:
    click.echo(f"campaign: {error}", err=True)
    raise SystemExit(code) from None


def _say(lines: Iterable[str], *, end: str = "\n") -> None:
    try:
        for line in lines:
            click.echo(line + end, nl=False)
    except BrokenPipeError:
        # `campaign log FILE | head`: whoever read has enough
        sys.stdout = None
        raise SystemExit(_DONE) from None


def _await(coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it returns
    from campaign.eventloop import awaited  # noqa: PLC0415

    return awaited(coroutine)


def _settings() -> Settings:
    from campaign.settings import load_settings  # noqa: PLC0415

    return load_settings()


def _definition(file: Path, recipients: Path | None) -> Definition:
    from campaign.definition import load_definition  # noqa: PLC0415

    return load_definition(file, recipients=recipients)


def _loaded(file: Path, recipients: Path | None) -> tuple[Definition, Settings]:
    return _definition(file, recipients), _settings()


def _as_typed(file: Path, recipients: Path | None, *, sandbox: bool) -> str:
    import shlex  # noqa: PLC0415

    words = [str(file), *(["--recipients", str(recipients)] if recipients else []), *(["--sandbox"] if sandbox else [])]
    return shlex.join(words)


def _exit_code(result: Result) -> int:
    from campaign.model import Status  # noqa: PLC0415

    if result.interrupted:
        return _INTERRUPTED
    here = result.summary.here
    unfinished = set(Status) - {Status.SENT, Status.SKIPPED}
    return _UNFINISHED if any(here.get(status) for status in unfinished) else _DONE


def _tell(settled: Settled, command: str) -> None:
    _say(settled.lines(command))
    raise SystemExit(_UNFINISHED if settled.pending else _DONE)
