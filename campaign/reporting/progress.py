"""Show the operator a run's progress, `RunReport`: a live bar on a terminal, plain lines at intervals otherwise."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from campaign.clock import ScaledClock, SystemClock
from campaign.config.settings import CLERK_API
from campaign.delivery.sandbox_time import shown_instant
from campaign.model import Status
from campaign.reporting.causes import Cause
from campaign.reporting.later import what_waits
from campaign.reporting.question import said_yes
from campaign.reporting.summary import (
    advice,
    beginning,
    changes,
    has_earlier_run,
    number,
    span,
    table,
    where_the_mail_is,
)
from campaign.sendlog import exists
from campaign.words import printable

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from campaign.clock import Clock
    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.observer import Plan, Result
    from campaign.delivery.services import Services
    from campaign.model import Delivery, Outcome

#: Seconds between two lines of progress if the output is not a terminal.
_INTERVAL_S = 5.0


def console(*, stderr: bool = False) -> Console:
    """Return a console without automatic highlighting, and without colour and line wrapping if it is not a terminal."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, no_color=True, width=400)


def as_text(table: Table) -> str:
    """Return a table as lines of plain text."""
    buffer = io.StringIO()
    Console(file=buffer, width=400, no_color=True).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


class RunReport:
    """Shows the operator a run's progress; it is the run's `Observer`.

    Args:
        out: the console to write to.
        definition: the campaign file.
        settings: the settings, for the first line.
        assume_yes: do not ask for confirmation before a run with the real services.
    """

    def __init__(self, out: Console, definition: Definition, settings: Settings, *, assume_yes: bool) -> None:
        self._out = out
        self._file = definition.path
        self._zone = definition.schedule.default_zone
        self._settings = settings
        self._assume_yes = assume_yes
        self._clock = SystemClock()
        self._began = self._said = self._waits_until = 0.0
        #: The time of a run that is not at the present, in the sandbox.
        self._simulated: Clock | None = None
        self._log_is_new = False
        #: How many recipients the run is to send to.
        self.total = 0
        #: How many attempts of the run ended in each state; `queued` counts those that will be tried again.
        self.tally: Counter[Status] = Counter()
        self._progress: Progress | None = None

    @property
    def done(self) -> int:
        """How many recipients came to an end state in this run."""
        return sum(count for status, count in self.tally.items() if status is not Status.QUEUED)

    def opened(self, services: Services) -> None:
        """Say where the settings are from and where the data is."""
        dotenv = self._settings.dotenv
        if services.maildir is not None:
            read = f" Settings: the environment and {dotenv}." if dotenv else ""
            self._print(
                "Embedded sandbox: nothing leaves this machine. Using the built-in Clerk and mail server; "
                f"their data is in {self._shown(services.maildir.parent)}/.{read}"
            )
            if isinstance(services.clock, ScaledClock):
                self._simulated = services.clock
                self._print(beginning(services))
            return
        self._log_is_new = not exists(services.log)
        read = f"the environment and {dotenv}" if dotenv else "the environment; there is no .env"
        self._print(f"Settings: {read}. Send log: {services.log}{', which is new' if self._log_is_new else ''}.")

    def confirm(self, plan: Plan) -> bool:
        """Print what changed and what will be sent; ask for confirmation if the services are real."""
        for line in changes(plan):
            self._print(line)
        self.total = plan.to_send
        name, file = plan.definition.name, plan.definition.recipients.file
        if not plan.queued:
            self._print(f"{name}: nothing to send, because no recipient of {file} is queued.")
            return True
        if not self.total and not plan.has_work:
            self._print(f"{name}: nothing is due now; {number(plan.queued, 'email')} will be later.")
            return True
        what = f"{self.total:,} of " * (self.total < plan.queued) + number(plan.queued, "email")
        if plan.has_more:
            what = f"{what} now, and what becomes due while it runs,"
        services = plan.services
        through = services.smtp.label
        self._print(f"{name}: {what} from {plan.definition.email.sender} through {through}.")
        if services.maildir is None and services.clerk_key is not None and services.clerk_url != CLERK_API:
            through = f"{through}, with tokens of Clerk at {services.clerk_url}"
            self._print(f"CLERK_API_URL: the secret key and the token requests go to {services.clerk_url}.")
        if (
            services.maildir is None
            and not self._assume_yes
            and not said_yes(self._out, f"{self._about_the_log(plan)} Send {what} through {through}?")
        ):
            self._out.print("Nothing was sent.")
            return False
        self._began = self._said = self._clock.now()
        if self._out.is_terminal:
            from campaign.reporting.progress_bar import started  # noqa: PLC0415 - slow to import, and only a terminal needs it

            self._progress = started(self._out, total=self.total, line=self._line)
        return True

    def settled(self, delivery: Delivery, outcome: Outcome) -> None:
        """Count an outcome, and show the progress."""
        del delivery
        self.tally[outcome.status] += 1
        if self._progress is not None:
            if outcome.status is not Status.QUEUED:
                self._progress.advance(self._progress.task_ids[0])
        elif self._clock.now() - self._said >= _INTERVAL_S:
            self._said = self._clock.now()
            self._out.print(f"{self.done:,} of {max(self.done, self.total):,}: {self._line()}")

    def waiting(self, why: str, seconds: float) -> None:
        """Print once why nothing is sent, if the wait is at least 1 second."""
        clock = self._simulated or self._clock
        until = clock.now() + seconds
        if seconds >= clock.speed and until > self._waits_until + clock.speed:
            self._waits_until = until
            if self._simulated is None:
                self._print(f"Waiting {seconds:.0f} s: {why}.")
            else:
                self._print(f"Waiting until {shown_instant(until)}, {span(seconds / clock.speed)} here: {why}.")

    def notice(self, sentence: str) -> None:
        """Print a sentence that the operator should read at once."""
        self._print(f"{sentence}.")

    def stopping(self) -> None:
        """Print that the signal was received."""
        self._out.print("Stopping: the messages in progress are finished first. Press Ctrl-C again to stop at once.")

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def finished(self, result: Result, causes: list[Cause], *, command: str, run: str) -> None:
        """Print the counts with an explanation of each state, and the next commands to type."""
        self.close()
        if result.batch:
            self._print(f"Batch {result.batch.number}: {number(result.batch.size, 'new recipient')}.")
        if self.tally:
            seconds = max(self._clock.now() - self._began, 1e-3)
            sent = self.tally[Status.SENT]
            self._out.print(f"{number(sent, 'message')} sent in {seconds:.1f} s, {sent / seconds:,.1f} a second.")
            if self._simulated is not None:
                self._print(f"In the sandbox it is {shown_instant(self._simulated.now())} now.")
        if result.waited_for and (queued := result.summary.here.get(Status.QUEUED)):
            # this stop's reason, not the one of an earlier try
            causes = [each for each in causes if each.state is not Status.QUEUED]
            causes.append(Cause(Status.QUEUED, result.waited_for, queued))
        shown = table(result.summary, causes)
        self._out.print(shown if self._out.is_terminal else escape(as_text(shown)))
        for line in advice(result.summary, command=command, run=run):
            self._print(line)
        for line in what_waits(result.summary, zone=self._zone, run=run):
            self._print(line)
        if result.services.maildir is not None:
            self._print(where_the_mail_is(result.services.maildir))

    def _print(self, line: str) -> None:
        """Print a line; control characters in it, from a file's name or a server's words, become spaces."""
        self._out.print(escape(printable(line)))

    def _shown(self, folder: Path) -> Path:
        """Return a folder's whole path if the command was typed elsewhere than above the campaign file."""
        return folder if self._file.resolve().is_relative_to(Path.cwd()) else folder.resolve()

    def _about_the_log(self, plan: Plan) -> str:
        if self._log_is_new:
            return f"The send log {plan.services.log} is new."
        known = "" if has_earlier_run(plan) else f"; it has no mail of {plan.definition.name} yet"
        return f"The send log is {plan.services.log}{known}."

    def _line(self) -> str:
        rate = self.done / max(self._clock.now() - self._began, 1e-3)
        left = f", {span((self.total - self.done) / rate)} left" if rate and self.done < self.total else ""
        ends = (Status.SENT, Status.FAILED, Status.UNCERTAIN, Status.SKIPPED)
        counts = ", ".join(
            f"{self.tally[status]:,} {status}" for status in ends if self.tally[status] or status == "sent"
        )
        return f"{counts}, {rate:,.1f}/s{left}"
