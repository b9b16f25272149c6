"""Choose the services of a run, either the real Clerk and mail server or the embedded sandbox: `open_services`."""

from __future__ import annotations

from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.clock import ScaledClock, ServerClock, SystemClock
from campaign.config.settings import LOG_NAME, parse_smtp_url
from campaign.delivery.sandbox_time import log_clock, sandbox_clock
from campaign.errors import SendLogUnusableError, SettingsError
from campaign.model import Rate, Recipient
from campaign.recipients import read_recipients
from campaign.sendlog import LogReader, discard, exists, held, log_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager

    from campaign.clock import Clock
    from campaign.config.definition import Definition
    from campaign.config.settings import Settings, SmtpServer
    from campaign.delivery.sandbox_time import Simulation
    from campaign.sandbox import Sandbox
    from campaign.sendlog import LogLocation

#: Clerk's documented limits of the Backend API, per secret key (https://clerk.com/docs/guides/how-clerk-works/system-limits).
_CLERK_LIVE = (Rate.parse("1000/10 seconds"),)
_CLERK_TEST = (Rate.parse("100/10 seconds"),)


@dataclass(frozen=True, slots=True)
class Services:
    """The addresses, keys and limits of a run's servers, and the place of its send log."""

    log: LogLocation
    smtp: SmtpServer
    clerk_url: str
    clerk_key: str | None = field(repr=False)
    #: Clerk's rate limits, used if the campaign file sets none; empty means no limit.
    clerk_rates: tuple[Rate, ...]
    #: The folder with the sandbox's mail; None for the real services.
    maildir: Path | None = None
    #: The time: the machine's, or in the sandbox perhaps another one.
    clock: Clock = field(default_factory=SystemClock)
    #: The run plays in simulated time and stays to its end, whatever becomes due days later.
    is_simulation: bool = False
    #: Makes a campaign's recipients known to the sandbox's Clerk; the real one has its own users and waitlist.
    learn: Callable[[Definition], None] = lambda _: None
    #: Lets the time pass during its block: a simulated one stands still before and after.
    time_passes: Callable[[], AbstractContextManager[None]] = nullcontext


def is_sandbox(definition: Definition, settings: Settings, *, asked: bool) -> bool:
    """Return whether the run uses the sandbox: it was asked for, or neither service is set.

    Raises:
        SettingsError: only one of the two services is set although both are needed, or the sandbox is chosen while a
            live key is set.
    """
    key, smtp = settings.clerk_secret_key, settings.smtp
    if asked or (key is None and smtp is None):
        if key is not None and key.get_secret_value().startswith("sk_live_"):
            raise SettingsError(
                "CLERK_SECRET_KEY is a live key and must not be used with the sandbox: unset it, or leave "
                "--sandbox out."
            )
        return True
    if smtp is None:
        raise SettingsError(
            "CAMPAIGN_SMTP_URL is not set, but CLERK_SECRET_KEY is: set both to send for real, or neither for the "
            "sandbox."
        )
    if key is None and needs_clerk(definition):
        raise SettingsError(
            "CLERK_SECRET_KEY is not set, but CAMPAIGN_SMTP_URL is: a real mail would contain a sandbox token, "
            "and its link would not work. Set both to send for real, or neither for the sandbox."
        )
    return False


def needs_clerk(definition: Definition) -> bool:
    """Return whether the campaign calls Clerk: a step of it has a link, or its recipients are Clerk's waitlist."""
    return definition.recipients.clerk is not None or any(variant.link is not None for variant in definition.variants)


def needs_user_id(definition: Definition) -> bool:
    """Return whether the CSV must name each recipient's Clerk user."""
    return needs_clerk(definition) and definition.recipients.lookup is None


def log_path(settings: Settings, definition: Definition | None, *, asked: bool) -> LogLocation:
    """Return the send log for commands that only read it.

    Args:
        settings: the settings.
        definition: the campaign file; None: the log is that of the current folder.
        asked: take the sandbox's log, whatever the settings are.
    """
    sandbox, real = sandbox_log(settings), settings.log_of(definition.path if definition else None)
    given = settings.clerk_secret_key is not None or settings.smtp is not None or settings.log is not None
    return sandbox if asked or not (given or (exists(real) and not exists(sandbox))) else real


def clock_of(settings: Settings, log: LogLocation) -> Clock:
    """Return the time at which a command reads or changes a send log: the sandbox may be ahead of the present.

    Raises:
        SendLogUnusableError: the log cannot be used; it tells the time.
    """
    return log_clock(log) if log == sandbox_log(settings) else log_time(log)


def sandbox_log(settings: Settings) -> Path:
    """Return the path of the sandbox's send log."""
    return settings.sandbox / LOG_NAME


def forget_sandbox_runs(settings: Settings, *, begins_at: float) -> int:
    """Delete the sandbox's send log, so that the next run mails everybody again; the mail stays.

    What the sandbox has from after the beginning of the next run is deleted, too.

    Args:
        settings: the settings.
        begins_at: when the next run begins, in seconds since the epoch.

    Returns:
        How many mails were later than that and are deleted.

    Raises:
        LogHeldError: a run uses it.
        SendLogUnusableError: it is not a send log.
        SettingsError: the sandbox's state cannot be written.
    """
    from campaign.sandbox import SandboxError, forget_after  # noqa: PLC0415 - a real run needs no sandbox

    path = sandbox_log(settings)
    if exists(path):
        with held(path):
            LogReader(path).close()  # refuses another program's file
            discard(path)
    try:
        return forget_after(settings.sandbox, begins_at)
    except SandboxError as error:
        raise SettingsError(str(error)) from error


def real_services(definition: Definition, settings: Settings) -> Services:
    """Return a campaign's real services from the settings; the caller has checked `is_sandbox` before."""
    if settings.smtp is None:
        raise SettingsError(
            "CAMPAIGN_SMTP_URL is not set; set it to a URL like smtp://user:password@smtp.example.com:587."
        )
    key = settings.clerk_secret_key.get_secret_value() if settings.clerk_secret_key else None
    rates = clerk_rates(settings)
    log = settings.log_of(definition.path)
    # the log sets a server's clock when it is opened
    clock = SystemClock() if isinstance(log, Path) else ServerClock()
    return Services(log, settings.smtp, settings.clerk_api_url, key, rates, clock=clock)


def clerk_rates(settings: Settings) -> tuple[Rate, ...]:
    """Return the rates that Clerk documents for the kind of the secret key; without a key, those of a live one."""
    key = settings.clerk_secret_key
    return _CLERK_LIVE if key is None or key.get_secret_value().startswith("sk_live_") else _CLERK_TEST


@asynccontextmanager
async def open_services(
    definition: Definition,
    settings: Settings,
    *,
    sandbox: bool,
    simulation: Simulation | None = None,
    learns: bool = True,
) -> AsyncIterator[Services]:
    """Yield the real services, or run the sandbox during the block, with the CSV's recipients as its Clerk users.

    For a campaign of Clerk's waitlist, a sandbox that has none gets one to try.

    Args:
        definition: the campaign file.
        settings: the settings.
        sandbox: use the sandbox, whatever the settings are.
        simulation: the time that the sandbox is to show; None: the present, or where it was last, if that is later.
        learns: False leaves it to the caller to call `learn`, for this campaign and others.

    Raises:
        SettingsError: the settings do not fit together, the sandbox's folder cannot be used, or the simulation is of
            no use: for the real services, or before what has happened in the sandbox.
        RecipientsError: the CSV cannot be read.
    """
    if not is_sandbox(definition, settings, asked=sandbox):
        if simulation is not None:
            raise SettingsError("--at and --speed are for the sandbox; this would send for real: leave them out.")
        refuse_second_log(definition, settings)
        yield real_services(definition, settings)
        return
    from campaign.sandbox import Sandbox, SandboxError  # noqa: PLC0415 - a real run needs no sandbox

    log = sandbox_log(settings)
    clock = sandbox_clock(settings.sandbox, log, simulation)
    try:
        async with Sandbox(settings.sandbox, clock=clock) as served:
            if learns:
                _learn(served, definition)
            smtp = parse_smtp_url(served.smtp_url)
            yield Services(
                log,
                smtp,
                served.clerk_url,
                served.secret_key,
                clerk_rates=(),
                maildir=served.maildir,
                clock=clock,
                is_simulation=simulation is not None,
                learn=partial(_learn, served),
                time_passes=partial(_released, clock, served) if simulation else nullcontext,
            )
    except SandboxError as error:
        raise SettingsError(str(error)) from error


def _learn(sandbox: Sandbox, definition: Definition) -> None:
    """Make a campaign's recipients known to the sandbox.

    Raises:
        RecipientsError: the CSV cannot be read.
    """
    section = definition.recipients
    if section.clerk is not None:
        sandbox.fill_waitlist()
        return
    rows = read_recipients(section.file, section, needs_user_id=needs_user_id(definition))
    sandbox.learn((row.user_id, row.email) for row in rows if isinstance(row, Recipient))


@contextmanager
def _released(clock: Clock, sandbox: Sandbox) -> Iterator[None]:
    """Let a simulated time pass during the block; an inbox that is open beside the run follows it."""
    assert isinstance(clock, ScaledClock)  # noqa: S101 - a simulation has no other
    clock.release()
    try:
        with sandbox.state.followed():
            yield
    finally:
        clock.hold()


def refuse_second_log(definition: Definition, settings: Settings) -> None:
    """Refuse a log without the campaign while a file that was its log has it: a new one would mail everybody again.

    Version 0.1.0 had its log in the current folder; a log in PostgreSQL may follow one beside the campaign file.

    Raises:
        SettingsError: there is such a log.
        SendLogUnusableError: the log is in PostgreSQL and cannot be used.
    """
    log, earlier = settings.log_of(definition.path), [Path(LOG_NAME)]
    if isinstance(log, Path):
        if settings.log is not None or log.exists():
            return
        there, hint = "does not exist", f"move the log: mv {LOG_NAME}* {log.parent}"
    else:
        if exists(log) and _has(log, definition.name):
            return
        by_default = settings.model_copy(update={"log": None}).log_of(definition.path)
        earlier += [by_default] if isinstance(by_default, Path) else []
        there, hint = "does not have it", "move the file away if they are to be"
    for file in earlier:
        try:
            known = file.exists() and _has(file, definition.name)
        except SendLogUnusableError:
            continue  # another program's file
        if known:
            place = "in the current folder" if file == Path(LOG_NAME) else "beside the campaign file"
            raise SettingsError(
                f"the send log {file} {place} has the campaign {definition.name!r}, and its log is now {log}, which "
                f"{there}: everybody would be mailed again. Set CAMPAIGN_LOG={file.resolve()}, or {hint}"
            )


def _has(log: LogLocation, campaign: str) -> bool:
    with closing(LogReader(log)) as reader:
        return campaign in reader.campaigns()
