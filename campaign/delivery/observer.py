"""What a run tells its `Observer`: the `Plan` before it, each outcome, waits and pauses, and the `Result`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from campaign.model import Status, Waiting
from campaign.sendlog import Holdout

if TYPE_CHECKING:
    from campaign.config.definition import Definition
    from campaign.delivery.services import Services
    from campaign.model import Batch, Delivery, Outcome
    from campaign.sendlog import Enlistment, Recovered, Summary

#: What a queued row may wait for although nothing failed: it is not its time yet.
SCHEDULED = frozenset({Waiting.DUE, Waiting.WINDOW, Waiting.STEP, Waiting.CAP})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is about to do, for the person who starts it."""

    definition: Definition
    services: Services
    recovered: Recovered
    enlistment: Enlistment
    #: The templates are others than in the last run.
    templates_changed: bool
    #: Recipients that are skipped now, because their addresses are suppressed.
    suppressed: int
    summary: Summary
    #: How many rows are outside `[recipients] where`, as a sentence; empty if none is, or the CSV was not read again.
    outside: str = ""
    #: The most recipients that were never tried; None for all.
    limit: int | None = None
    #: The run stays for what becomes due until this instant (seconds since the epoch).
    stays_until: float = 0.0
    #: Who is never mailed, to see what the mail does.
    holdout: Holdout = field(default_factory=Holdout)

    @property
    def queued(self) -> int:
        """How many rows of this CSV are queued, whatever they wait for."""
        return self.summary.here.get(Status.QUEUED, 0)

    @property
    def to_send(self) -> int:
        """How many rows of this CSV are due, or wait for their next attempt; with those that a batch takes up."""
        waiting = self.summary.waiting
        later = sum(number for kind, number in waiting.items() if kind in SCHEDULED)
        new = waiting.get(Waiting.BATCH, 0)
        return self.queued - later - new + (new if self.limit is None else min(new, self.limit))

    @property
    def has_more(self) -> bool:
        """Whether rows become due by themselves while the run stays."""
        next_due = self.summary.next_due
        return next_due is not None and next_due <= self.stays_until

    @property
    def has_work(self) -> bool:
        """Whether the run has something to do, or to wait for: rows that other runs have in hand may come back."""
        here = self.summary.here
        in_hand = here.get(Status.ISSUING, 0) + here.get(Status.SENDING, 0)
        return bool(self.to_send or self.has_more or in_hand or self.summary.revocations)


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended."""

    summary: Summary
    #: It was asked to stop.
    interrupted: bool
    services: Services
    #: What it waited for when it ended with rows still queued; empty if it did not wait.
    waited_for: str = ""
    #: The recipients that a run with a limit took up; None if all of them had been tried before.
    batch: Batch | None = None


class Observer(Protocol):
    """Who is told what happens."""

    def opened(self, services: Services) -> None:
        """The servers are known."""
        ...

    def confirm(self, plan: Plan) -> bool:
        """Everything is enlisted and nothing is sent; return whether to go on."""
        ...

    def settled(self, delivery: Delivery, outcome: Outcome) -> None:
        """A recipient's try has ended."""
        ...

    def waiting(self, why: str, seconds: float) -> None:
        """No message is sent for this many seconds."""
        ...

    def notice(self, sentence: str) -> None:
        """Something happened that a person should know at once."""
        ...

    def stopping(self) -> None:
        """The first signal came: what is in hand is finished."""
        ...


class SilentObserver:
    """Ignore all events and confirm every run."""

    def opened(self, services: Services) -> None:
        """Do nothing."""

    def confirm(self, plan: Plan) -> bool:  # noqa: ARG002 - as `Observer` has it
        """Return that the run goes on."""
        return True

    def settled(self, delivery: Delivery, outcome: Outcome) -> None:
        """Do nothing."""

    def waiting(self, why: str, seconds: float) -> None:
        """Do nothing."""

    def notice(self, sentence: str) -> None:
        """Do nothing."""

    def stopping(self) -> None:
        """Do nothing."""
