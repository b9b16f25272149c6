"""One of several runs that share a log in PostgreSQL: `PostgresWorker`, with its claims and its lease."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from psycopg.errors import LockNotAvailable

from campaign.sendlog.postgres.faults import LostCommitsError, reason_of
from campaign.sendlog.postgres.heartbeat import BEATS_PER_LEASE, Heartbeat, recover_all
from campaign.sendlog.postgres.many_rows import FOR_CLAIMED, array
from campaign.sendlog.postgres.session import closing_after_error, notice_loss_within, open_session
from campaign.sendlog.postgres.statements import WORKERS
from campaign.sendlog.postgres.worker_transactions import WorkerTransactions
from campaign.sendlog.worker import LogWorker
from campaign.sendlog.worker_list import WorkerState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from campaign.config.postgres_url import PostgresUrl
    from campaign.sendlog.counts import Recovered
    from campaign.sendlog.database import LogChanges, LogConnection
    from campaign.sendlog.postgres.connection import PostgresConnection
    from campaign.sendlog.worker import Claim, WorkTerms

T = TypeVar("T")

#: The queue is looked at again after this time (seconds): no message tells that another run has queued a row.
_QUEUE_HOLDS_S = 2.0
#: How long a transaction that prepares waits for another one that does (seconds): it may be enlisting a long CSV.
_WAIT_S = 600
#: The first keys of two locks of a campaign: of the run that prepares it, and of the runs that work on its last batch
#: ("CAMQ" and "CAMB" in ASCII).
_PREPARING, _WORKING = 0x43414D51, 0x43414D42
#: A lock that another run has, and a lease that has run out, are looked at again after this time (seconds).
_RETRY_S = 0.5


class PostgresWorker(LogWorker):
    """A run with an id in the table `worker`, which its claims have, and a lease that a heartbeat renews.

    Args:
        url: the database.
    """

    is_shared = True
    queue_holds_s = _QUEUE_HOLDS_S

    def __init__(self, url: PostgresUrl) -> None:
        self._url = url
        self._heartbeat: Heartbeat | None = None
        self._transactions = WorkerTransactions(url, lambda: self.id)
        self._wait = threading.Event()

    @property
    def id(self) -> int:
        """The worker's id; 0 before it has started. It changes if others have removed the worker."""
        return self._heartbeat.worker if self._heartbeat else 0

    # -- from start to end ---------------------------------------------------------------------------------------

    def start(self, connection: LogConnection, campaign: int, terms: WorkTerms) -> None:
        """Register, and begin to renew the lease; after `rest` go on, as soon as the server answers."""
        session = cast("PostgresConnection", connection)
        if self._heartbeat:
            try:
                self._transactions.begin_session(session)
            except psycopg.Error as error:
                self._transactions.overcome(session, error)
            return
        self.intent_holds_s = terms.lease_s / BEATS_PER_LEASE
        self._transactions.start(session, campaign, terms)
        heartbeat = Heartbeat(self._url, campaign, terms)
        heartbeat.start()
        self._heartbeat = heartbeat

    def rest(self, connection: LogConnection) -> None:
        """Wait for locks and files as long as a run that prepares; a session that is lost is restored later."""
        session = cast("PostgresConnection", connection)
        if not session.is_lost:
            with suppress(psycopg.Error):
                session.execute(WORKERS.rest_worker_session)
                notice_loss_within(session, self._url, inf)

    def restore(self, connection: LogConnection) -> None:
        """Replace the session, as soon as the server answers."""
        session = cast("PostgresConnection", connection)
        self._transactions.reconnect(session, psycopg.OperationalError("the session was ended"))
        self.rest(connection)

    @contextmanager
    def preparing(self, connection: LogConnection, campaign: int, say: Callable[[str], object]) -> Iterator[None]:
        """Hold the lock of the campaign's preparation during the block; wait for the run that has it, and say so."""
        of = {"kind": _PREPARING, "campaign": campaign}
        has_lock, is_told = False, False
        while not has_lock:
            has_lock = bool(connection.execute(WORKERS.try_lock, of).fetchone()[0])
            if not has_lock and not is_told:
                say("Another run prepares this campaign now; waiting for it")
                is_told = True
            if not has_lock:
                self._wait.wait(_RETRY_S)
        try:
            yield
        finally:
            if not cast("PostgresConnection", connection).is_lost:
                connection.execute(WORKERS.unlock, of)

    def try_to_restore(self, connection: LogConnection) -> str:
        """Try once to replace a lost session of a run that prepares; return why it cannot be had, or nothing.

        Raises:
            LostCommitsError: the server lacks what this run had committed.
        """
        try:
            fresh = open_session(self._url, wait_s=_WAIT_S)
            with closing_after_error(fresh):
                if not fresh.try_to_hold(is_shared=True):
                    raise LockNotAvailable("another command changes the log")
                if batch := self._transactions.works_on:
                    fresh.execute(WORKERS.share_lock, batch)
                self._transactions.require_all_commits(fresh)
        except LostCommitsError:
            raise
        except psycopg.Error as error:
            return reason_of(error)
        cast("PostgresConnection", connection).replace(fresh)
        return ""

    def joins_batch(self, connection: LogConnection, campaign: int) -> bool:
        """Return whether other runs work on the campaign's last batch now: they share a lock, which this one joins."""
        batch = {"kind": _WORKING, "campaign": campaign}
        is_first = bool(connection.execute(WORKERS.try_lock, batch).fetchone()[0])
        connection.execute(WORKERS.share_lock, batch)
        if is_first:
            connection.execute(WORKERS.unlock, batch)
        self._transactions.works_on = batch
        return not is_first

    def drain(self) -> None:
        """Let others see that this run claims no more rows."""
        if self._heartbeat:
            self._heartbeat.drain()

    def end(self, connection: LogConnection) -> None:
        """Give back what was claimed and not begun, and remove the worker."""
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat:
            heartbeat.stop()
            self._transactions.end()
            if not cast("PostgresConnection", connection).is_lost:
                with suppress(psycopg.Error):
                    connection.execute(WORKERS.end_worker_session)

    @property
    def is_away(self) -> bool:
        """Whether the server does not answer, and the run waits for it."""
        return self._transactions.is_away

    def abandon(self) -> None:
        """Wait for a server that is away no more, not even for the last writes."""
        self._transactions.abandon()

    def will_end(self) -> None:
        """Wait no longer without an end for a server that is away."""
        self._transactions.is_ending = True

    def recover(self, connection: LogConnection, *, now: float) -> Recovered:
        """Settle, within a transaction, the rows of workers that are gone, and rows that no worker has."""
        return recover_all(connection, but=self.id, now=now)

    # -- within a transaction ------------------------------------------------------------------------------------

    def has_lease(self, connection: LogConnection) -> bool:
        """Return whether the lease has not run out; until the transaction ends, no other worker removes this one."""
        del connection
        return self._transactions.has_lease()

    def held(self, connection: LogConnection, claims: Sequence[Claim]) -> Callable[[], Collection[int]]:
        """Ask which rows are still claimed with the same fence, and lock them."""
        ids, fences = array(each.id for each in claims), array(each.fence for each in claims)
        of = {"worker": self.id, "ids": ids, "fences": fences}
        found = connection.execute(WORKERS.lock_claims, of)
        return lambda: {row[0] for row in found.fetchall()}

    def change(
        self,
        connection: LogConnection,
        statement: str,
        rows: Sequence[Mapping[str, object]],
        claims: Sequence[Claim | None],
    ) -> LogChanges:
        """Execute a statement for each row; a step of a delivery only for rows that have the same fence."""
        if (many := FOR_CLAIMED.get(statement)) is None:
            return connection.executemany(statement, rows)
        fenced = [{**row, "fence": claim and claim.fence} for row, claim in zip(rows, claims, strict=True)]
        return connection.execute(many.text, {**many.arrays(fenced), "worker": self.id})

    def still_queued(self, connection: LogConnection, ids: Collection[int]) -> Collection[int]:
        """Return which of some queued rows this worker still has, and lock them."""
        of = {"worker": self.id, "ids": list(ids)}
        return {row[0] for row in connection.execute(WORKERS.lock_rows, of).fetchall()}

    def claim(self, connection: LogConnection, arguments: Mapping[str, object]) -> list[Any]:
        """Claim due rows that no worker has; none while the lease has run out."""
        if not self.has_lease(connection):
            self._wait.wait(_RETRY_S)  # the caller would ask again at once
            return []
        return connection.execute(WORKERS.claim, {**arguments, "worker": self.id}).fetchall()

    def give_back(self, connection: LogConnection, ids: Collection[int]) -> None:
        """Let others claim queued rows that this worker has claimed."""
        connection.execute(WORKERS.give_back, {"worker": self.id, "ids": list(ids)})

    def try_revocations(self, connection: LogConnection, arguments: Mapping[str, object]) -> list[Any]:
        """Return the revocations to try next, but for those that other workers try."""
        return connection.execute(WORKERS.try_revocations, {**arguments, "worker": self.id}).fetchall()

    def others_hold(self, connection: LogConnection, campaign: int, enlistment: int) -> int:
        """Return how many rows of a campaign's CSV other workers have claimed."""
        of = {"worker": self.id, "campaign": campaign, "enlistment": enlistment}
        row = connection.execute(WORKERS.held_by_others, of).fetchone()
        return int(row[0])

    def transact(self, connection: LogConnection, work: Callable[[], T], *, alone: bool) -> T:
        """Return what `work` returns, when its transaction is durable; made again until it is.

        Raises:
            ContestedError: `work` has raised it.
            psycopg.Error: the server refuses a statement, or is away for too long at the run's end.
        """
        return self._transactions.transact(cast("PostgresConnection", connection), work, alone=alone)


def read_workers(connection: LogConnection) -> list[WorkerState]:
    """Return the workers that are registered now, oldest first."""
    return [WorkerState(*row) for row in connection.execute(WORKERS.workers).fetchall()]
