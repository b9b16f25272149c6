"""A run among those that write the same log: `LogWorker`. This one is alone; a backend with several has its own."""

from __future__ import annotations

from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from campaign.sendlog.recovery import recover

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from campaign.sendlog.counts import Recovered
    from campaign.sendlog.database import LogChanges, LogConnection

T = TypeVar("T")


class WorkTerms(NamedTuple):
    """How a run shares the log with others."""

    #: How long the run keeps its rows when it is not heard of (seconds); longer than the wait for any reply.
    lease_s: float
    #: Told what the run waits for, and what it did for others; called in any thread.
    say: Callable[[str], object]
    #: Returns the time (seconds since the epoch); called in any thread.
    now: Callable[[], float]
    #: Sets the run's clock by the server of a connection; called in any thread.
    follow: Callable[[LogConnection], object]
    #: Makes the run look whether the log's server answers, even if it has nothing to write; called in any thread.
    look: Callable[[], object]


class Claim(NamedTuple):
    """A row that a run has claimed, as a write names it."""

    #: The row's id.
    id: int
    #: The number of the claim: the row has another one as soon as another run may have it.
    fence: int
    #: Whether the write begins something, for which the run's lease must not have run out.
    begins: bool = False


class ContestedError(Exception):
    """Something stands in the way of a write, and its transaction was rolled back; the log tells which write it is."""


class LogWorker:
    """A run that is alone in its log: every row is its own, and it keeps them as long as it lives."""

    #: Whether other runs may claim rows, so that each write must look whether its row is still claimed.
    is_shared = False
    #: How long what was read of the queue stays true (seconds): other runs add rows to it.
    queue_holds_s = inf
    #: How long after the beginning of its intent's write a message may be finished (seconds).
    intent_holds_s = inf

    @property
    def id(self) -> int:
        """What tells this run from all others; 0 for one that is alone."""
        return 0

    def start(self, connection: LogConnection, campaign: int, terms: WorkTerms) -> None:
        """Join the runs of the log, or go on after `rest`; the methods below may be called from now on.

        Args:
            connection: the one that `transact` gets later.
            campaign: the campaign's id.
            terms: how this run shares the log.
        """

    def rest(self, connection: LogConnection) -> None:
        """Write nothing for now: the run stays among those of the log, and its connection is as before `start`."""

    def restore(self, connection: LogConnection) -> None:
        """Make the connection of a run that rests anew if the log's server has ended it, however long that takes."""

    def drain(self) -> None:
        """Let others see that this run claims no more rows."""

    def will_end(self) -> None:
        """Wait no longer without an end for a log that is away: only the last writes are to be made."""

    @property
    def is_away(self) -> bool:
        """Whether the log's server does not answer, and the run waits for it."""
        return False

    def abandon(self) -> None:
        """Wait for a log that is away no more, not even for the last writes."""

    def end(self, connection: LogConnection) -> None:
        """Give back what was claimed and not begun, and leave the log; safe to call twice."""

    @contextmanager
    def preparing(self, connection: LogConnection, campaign: int, say: Callable[[str], object]) -> Iterator[None]:
        """Let no other run prepare the same campaign during the block; wait for one that does, and say so."""
        del connection, campaign, say
        yield

    def try_to_restore(self, connection: LogConnection) -> str:
        """Try once to replace a lost connection of a run that prepares; return why it cannot be had, or nothing."""
        del connection
        return "it was closed"

    def joins_batch(self, connection: LogConnection, campaign: int) -> bool:
        """Return whether other runs work on the campaign's last batch now; from now on this one counts among them."""
        del connection, campaign
        return False

    def transact(self, connection: LogConnection, work: Callable[[], T], *, alone: bool) -> T:
        """Return what `work` returns, in a transaction that is durable then.

        Args:
            connection: `work` uses it.
            work: reads and writes; it may be called again if its transaction was lost.
            alone: no other transaction writes meanwhile.

        Raises:
            ContestedError: `work` has raised it.
        """
        del alone
        connection.begin()
        result = work()
        connection.commit()
        return result

    def held(self, connection: LogConnection, claims: Sequence[Claim]) -> Callable[[], Collection[int]]:
        """Ask, within a transaction, which rows are still claimed; they stay so until its end.

        Returns:
            What reads the answer, the ids of these rows.
        """
        del connection
        return lambda: [claim.id for claim in claims]

    def change(
        self,
        connection: LogConnection,
        statement: str,
        rows: Sequence[Mapping[str, object]],
        claims: Sequence[Claim | None],
    ) -> LogChanges:
        """Execute a statement for each row of named parameters, within a transaction.

        A step of a delivery changes nothing if the run has its claim, in the same place of `claims`, no more.
        """
        del claims
        return connection.executemany(statement, rows)

    def has_lease(self, connection: LogConnection) -> bool:
        """Return whether the lease has not run out, within a transaction; until its end no run recovers the rows."""
        del connection
        return True

    def still_queued(self, connection: LogConnection, ids: Collection[int]) -> Collection[int]:
        """Return which of some queued rows this run still has, within a transaction."""
        del connection
        return ids

    def claim(self, connection: LogConnection, arguments: Mapping[str, object]) -> list[Any]:
        """Return the rows of the statement `claim`, within a transaction."""
        return connection.execute(connection.sql.claim, arguments).fetchall()

    def give_back(self, connection: LogConnection, ids: Collection[int]) -> None:
        """Let others claim queued rows that this run has claimed, within a transaction."""

    def try_revocations(self, connection: LogConnection, arguments: Mapping[str, object]) -> list[Any]:
        """Return the rows of the statement `try_revocations`, within a transaction."""
        return connection.execute(connection.sql.try_revocations, arguments).fetchall()

    def recover(self, connection: LogConnection, *, now: float) -> Recovered:
        """Settle, within a transaction, what runs left behind that are gone."""
        return recover(connection, now=now)

    def others_hold(self, connection: LogConnection, campaign: int, enlistment: int) -> int:
        """Return how many rows of a campaign's CSV other runs have claimed."""
        del connection, campaign, enlistment
        return 0
