"""One rate for all workers of a log: what a worker asks and is told, `PermitRequest`, `PermitGrant` and `Hold`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from campaign.model import Status


@dataclass(frozen=True, slots=True)
class SharedWindow:
    """At most `count` permits in any `period_s` seconds, for all workers together."""

    count: int
    period_s: float


@dataclass(frozen=True, slots=True)
class PermitTerms:
    """What is limited together, and how exactly."""

    #: `messages`, `tokens`, a recipient domain after `@`, or a day of the ramps.
    bucket: str
    #: The windows whose permits are spread evenly.
    even: Sequence[SharedWindow]
    #: Those that are spent as fast as the others allow.
    budgets: Sequence[SharedWindow]
    #: No permit is reserved for later than this many seconds from now.
    horizon_s: float
    #: A permit may be used up to so many seconds after its instant.
    late_s: float
    #: How far (seconds) the even spread may catch up after it was late.
    catch_up_s: float
    #: The state that a row of the log enters when it uses a permit: so the history knows what was spent before.
    status: Status
    #: Count only rows with this recipient domain.
    domain: str | None = None
    #: Count only rows since this instant (seconds since the epoch), instead of those in the budgets' periods.
    since: float | None = None


@dataclass(frozen=True, slots=True)
class PermitRequest:
    """What became of the permits that a worker had, and how many more it wants. Instants are the log's."""

    terms: PermitTerms
    #: At most so many; with 0 it only asks how things stand.
    wanted: int
    #: Permits that were used: (number, seconds since the epoch).
    used: Sequence[tuple[int, float]] = ()
    #: The numbers of those that will not be used.
    unused: Sequence[int] = ()
    #: Whatever the worker has reserved and not used is given back: it ends, or has lost an answer.
    gives_all_back: bool = False


@dataclass(frozen=True, slots=True)
class PermitGrant:
    """The permits that a worker was given, and how things stand. Instants are the log's, in seconds since the epoch."""

    now: float
    #: Each permit's number, and from when it may be used; in the order of the instants.
    permits: Sequence[tuple[int, float]]
    #: When the next one could be used.
    next_at: float
    #: How many permits the budgets have left; None without a budget.
    remaining: int | None
    #: When they get more; None if nothing was spent.
    more_at: float | None
    #: Until when permits may come back to a budget that has none left, since workers have reserved them and may not use
    #: them; None if all were used.
    settled_at: float | None
    #: How many workers took the last permits.
    sharers: int


class HoldKind(StrEnum):
    """What all workers have to do."""

    #: Call a service, or mail a domain, only after a pause.
    PAUSE = "pause"
    #: Call a service less often for a while: it said that calls come too fast.
    SLOW_DOWN = "slow down"
    #: Send nothing more to a domain in this run.
    BLOCK = "block"
    #: End the run: a service refuses all requests of this campaign.
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Hold:
    """What one worker learnt of a service, and tells the others."""

    kind: HoldKind
    #: A bucket's name; a recipient domain stands after `@`.
    service: str
    why: str
    #: Of a pause, from now on.
    seconds: float = 0.0
    #: Of an abort: the campaign's name.
    campaign: str = ""


class PermitExchange(Protocol):
    """The part of a send log in which workers share their rates."""

    async def reserve(self, request: PermitRequest) -> PermitGrant:
        """Report what became of permits, and reserve more.

        Raises:
            ConnectionError: the log cannot be reached. The same report may be made again, and what the log may have
                reserved meanwhile is given back with `gives_all_back`.
        """
        ...

    async def tell(self, hold: Hold) -> None:
        """Tell the other workers.

        Raises:
            ConnectionError: the log cannot be reached.
        """
        ...

    def holds(self, connected: Callable[[], object]) -> AsyncIterator[Hold]:
        """Yield the pauses that are on, and then without an end what other workers tell.

        Args:
            connected: called when nothing more that they tell is missed.

        Raises:
            ConnectionError: the log cannot be reached.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
