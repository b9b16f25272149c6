"""What a run tells its `Observer`: the `Plan` before it, each outcome, waits and pauses, and the `Result`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from campaign.model import Status

if TYPE_CHECKING:
    from campaign.config.definition import Definition
    from campaign.delivery.services import Services
    from campaign.model import Delivery, Outcome
    from campaign.sendlog import Enlistment, Recovered, Summary


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

    @property
    def to_send(self) -> int:
        """How many recipients of this CSV are queued."""
        return self.summary.here.get(Status.QUEUED, 0)


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended."""

    summary: Summary
    #: It was asked to stop.
    interrupted: bool
    services: Services
    #: What it waited for when it ended with rows still queued; empty if it did not wait.
    waited_for: str = ""


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
