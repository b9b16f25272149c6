"""Show the operator a run's progress, `RunReport`: a live bar on a terminal, plain lines at intervals otherwise."""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from campaign.clock import SystemClock
from campaign.config.settings import CLERK_API
from campaign.model import Status
from campaign.reporting.summary import advice, changes, number, span, table, where_the_mail_is

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

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
        assume_yes: do not ask for confirmation before a run with the real services.
    """

    def __init__(self, out: Console, *, assume_yes: bool) -> None:
        self._out = out
        self._assume_yes = assume_yes
        self._clock = SystemClock()
        self._began = self._said = self._waits_until = 0.0
        self._total = 0
        self._tally: Counter[Status] = Counter()
        self._progress: Progress | None = None

    def opened(self, services: Services) -> None:
        """Say that the run uses the sandbox, if it does."""
        if services.maildir is not None:
            self._out.print(
                "Embedded sandbox: nothing leaves this machine. Using the built-in Clerk and mail server; "
                f"their data is in {services.maildir.parent}/."
            )

    def confirm(self, plan: Plan) -> bool:
        """Print what changed and what will be sent; ask for confirmation if the services are real."""
        for line in changes(plan):
            self._out.print(escape(line))
        self._total = plan.to_send
        name, file = plan.definition.name, plan.definition.recipients.file
        if not self._total:
            self._out.print(escape(f"{name}: nothing to send, because no recipient of {file} is queued."))
            return True
        what = number(self._total, "email")
        services = plan.services
        through = services.smtp.label
        self._out.print(escape(f"{name}: {what} from {plan.definition.email.sender} through {through}."))
        if services.maildir is None and services.clerk_key is not None and services.clerk_url != CLERK_API:
            through = f"{through}, with tokens of Clerk at {services.clerk_url}"
            self._out.print(escape(f"CLERK_API_URL: the secret key and the token requests go to {services.clerk_url}."))
        if plan.services.maildir is None and not self._assume_yes:
            self._out.print(escape(f"The send log is {services.log}."))
            answer = self._out.input(escape(f"Send {what} through {through}? Type yes to go on: "))
            if answer.strip().lower() != "yes":
                self._out.print("Nothing was sent.")
                return False
        self._began = self._said = self._clock.now()
        if self._out.is_terminal:
            from campaign.reporting.progress_bar import started  # noqa: PLC0415 - slow to import, and only a terminal needs it

            self._progress = started(self._out, total=self._total, line=self._line)
        return True

    def settled(self, delivery: Delivery, outcome: Outcome) -> None:
        """Count an outcome, and show the progress."""
        del delivery
        self._tally[outcome.status] += 1
        if self._progress is not None:
            if outcome.status is not Status.QUEUED:
                self._progress.advance(self._progress.task_ids[0])
        elif self._clock.now() - self._said >= _INTERVAL_S:
            self._said = self._clock.now()
            self._out.print(f"{self._done():,} of {self._total:,}: {self._line()}")

    def waiting(self, why: str, seconds: float) -> None:
        """Print once why nothing is sent, if the wait is at least 1 second."""
        until = self._clock.now() + seconds
        if seconds >= 1.0 and until > self._waits_until + 1.0:
            self._waits_until = until
            self._out.print(escape(f"Waiting {seconds:.0f} s: {why}."))

    def notice(self, sentence: str) -> None:
        """Print a sentence that the operator should read at once."""
        self._out.print(escape(f"{sentence}."))

    def stopping(self) -> None:
        """Print that the signal was received."""
        self._out.print("Stopping: the messages in progress are finished first. Press Ctrl-C again to stop at once.")

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def finished(self, result: Result, reasons: list[tuple[Status, str, int]], *, command: str, run: str) -> None:
        """Print the counts with an explanation of each state, and the next commands to type."""
        self.close()
        if self._tally:
            seconds = max(self._clock.now() - self._began, 1e-3)
            sent = self._tally[Status.SENT]
            self._out.print(f"{number(sent, 'message')} sent in {seconds:.1f} s, {sent / seconds:,.1f} a second.")
        if result.waited_for and (queued := result.summary.here.get(Status.QUEUED)):
            # this stop's reason, not the one of an earlier try
            reasons = [each for each in reasons if each[0] is not Status.QUEUED]
            reasons.append((Status.QUEUED, result.waited_for, queued))
        shown = table(result.summary, reasons)
        self._out.print(shown if self._out.is_terminal else escape(as_text(shown)))
        for line in advice(result.summary, command=command, run=run):
            self._out.print(escape(line))
        if result.services.maildir is not None:
            self._out.print(escape(where_the_mail_is(result.services.maildir)))

    def _done(self) -> int:
        return sum(count for status, count in self._tally.items() if status is not Status.QUEUED)

    def _line(self) -> str:
        rate = self._done() / max(self._clock.now() - self._began, 1e-3)
        left = f", {span((self._total - self._done()) / rate)} left" if rate else ""
        ends = (Status.SENT, Status.FAILED, Status.UNCERTAIN, Status.SKIPPED)
        counts = ", ".join(
            f"{self._tally[status]:,} {status}" for status in ends if self._tally[status] or status == "sent"
        )
        return f"{counts}, {rate:,.1f}/s{left}"
