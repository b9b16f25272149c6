"""Group commit: each caller of `GroupCommit.write` awaits its own write, and many writes share one transaction."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from campaign.errors import ClaimLostError, Scope, SendLogError, TransientError
from campaign.sendlog.worker import LogWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from campaign.sendlog.database import LogConnection, LogDatabase
    from campaign.sendlog.worker import Claim

T = TypeVar("T")

#: How long a non-urgent write waits for others to share its fsync (seconds).
_GROUPING_DELAY_S = 0.004
#: The most writes in one transaction. Their callers continue while the next transaction is written.
_MAX_BATCH = 100


#: Asks the log, and returns what reads the answer.
_Refusal: TypeAlias = "Callable[[LogConnection], Callable[[], Exception | None]]"
#: The same for many refusals at once: whether there is none.
_IsClear: TypeAlias = "Callable[[LogConnection, Sequence[Any]], Callable[[], bool]]"


class _Write(NamedTuple):
    """One caller's write."""

    future: asyncio.Future[Any]
    #: The named parameters of each statement to run, by the statement's name.
    rows: Mapping[str, Mapping[str, object]]
    #: Called in the transaction, and its result after those of others; if that returns an error, the rows are not
    #: written, and the future gets the error.
    refusal: _Refusal | None = None
    #: Called after all rows of the transaction are written.
    follow_up: Callable[[LogConnection], object] | None = None
    #: Called after them; the future gets its result.
    action: Callable[[LogConnection], object] | None = None
    urgent: bool = True
    #: The row that is written: if another run has claimed it meanwhile, nothing is written.
    claim: Claim | None = None
    #: No other run writes in this transaction's time.
    alone: bool = False


#: Why a write was refused, or None and the result of its action.
_Result = tuple[Exception | None, object]


class GroupCommit:
    """A writer thread that owns a connection and commits all waiting writes in one transaction.

    While one transaction is flushed to the disk, the writes of the next one queue up, so the number of writes per
    fsync follows the load. After a failed write nothing more is written, because the log can no longer be trusted.

    Args:
        connection: only the thread uses it until `close`.
        database: the connection's; it says what an error means.
        statements: by name, in the order in which a transaction executes them. Each must change exactly one row of
            the table for each set of parameters.
        is_clear: asks the log for all refusals of a transaction at once; if what it returns reads True, none is asked.
        is_sequential: each write sees the one before it in its transaction: `refusal` may count what others write.
        worker: the run among others; it makes the transactions.
    """

    def __init__(
        self,
        connection: LogConnection,
        database: LogDatabase,
        statements: Mapping[str, str],
        *,
        is_clear: _IsClear | None = None,
        is_sequential: bool = False,
        worker: LogWorker | None = None,
    ) -> None:
        self._connection = connection
        self._database = database
        self._statements = statements
        self._is_sequential = is_sequential
        self._is_clear = is_clear
        self._worker = worker or LogWorker()
        self._waiting: SimpleQueue[_Write | None] = SimpleQueue()
        self._broken: SendLogError | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="send-log", daemon=True)
        self._thread.start()

    def write(
        self,
        rows: Mapping[str, Mapping[str, object]],
        *,
        urgent: bool = True,
        refusal: _Refusal | None = None,
        follow_up: Callable[[LogConnection], object] | None = None,
        claim: Claim | None = None,
    ) -> asyncio.Future[None]:
        """Return a future that is done when the rows are on the disk.

        Args:
            rows: the named parameters of each statement to run, by the statement's name.
            urgent: False lets the write wait a few milliseconds for others.
            refusal: asks the log within the transaction and returns what reads the answer; if that is an error, the
                rows are not written.
            follow_up: changes other rows in the same transaction, after these.
            claim: the row; nothing is written if this run has it no more.

        Raises:
            Exception: (in the future) what `refusal` returned.
            ClaimLostError: (in the future) another run has the row.
            TransientError: (in the future) this run's lease has run out, so that it must begin nothing.
            SendLogError: (in the future) the log cannot be written any longer.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put(_Write(future, rows, refusal, follow_up=follow_up, urgent=urgent, claim=claim))
        return future

    def submit(
        self, action: Callable[[LogConnection], T], *, claim: Claim | None = None, alone: bool = False
    ) -> asyncio.Future[T]:
        """Return a future of the action's result; it is done when the action's writes are on the disk.

        The action sees all rows whose writes were queued before it.

        Args:
            action: reads and writes.
            claim: the row that it is about; it is not called if this run has the row no more.
            alone: no other run writes meanwhile.

        Raises:
            ClaimLostError, TransientError: (in the future) as of `write`.
            SendLogError: (in the future) the log cannot be written any longer.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.put(_Write(future, {}, action=action, claim=claim, alone=alone))
        return future

    def close(self) -> None:
        """Finish the waiting writes and end the thread; the connection stays open."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            results = self._commit(batch)
            if self._broken:
                self._loop.call_soon_threadsafe(_fail, batch, str(self._broken))
            else:
                self._loop.call_soon_threadsafe(_succeed, batch, results)

    def _next(self) -> list[_Write]:
        """Wait for writes; return those of the next transaction, or an empty list after `close`."""
        batch: list[_Write] = []
        timeout: float | None = None
        while len(batch) < _MAX_BATCH:
            try:
                write = self._waiting.get(timeout=timeout)
            except Empty:
                break
            if write is None:
                if batch:
                    self._waiting.put(None)
                break
            timeout = 0.0 if batch or write.urgent else _GROUPING_DELAY_S
            batch.append(write)
        return batch

    def _commit(self, batch: list[_Write]) -> list[_Result]:
        """Return the result or the refusal of each write; an empty list if this or an earlier transaction failed."""
        if self._broken:
            return []
        alone = self._is_sequential or any(write.alone for write in batch)
        try:
            return self._worker.transact(self._connection, partial(self._execute_all, batch), alone=alone)
        except Exception as error:  # noqa: BLE001 - after any error, nothing more may be written
            self._break(error)
            return []

    def _execute_all(self, batch: list[_Write]) -> list[_Result]:
        parts = [[write] for write in batch] if self._is_sequential else [batch]
        return [result for part in parts for result in self._execute(part)]

    def _execute(self, batch: list[_Write]) -> list[_Result]:
        """Write the rows of some writes, within the transaction; return the result or the refusal of each."""
        refusals = self._refusals(batch)
        written = [write for write, refused in zip(batch, refusals, strict=True) if refused is None]
        changes = []
        with self._connection.pipeline():
            for name, statement in self._statements.items():
                if rows := [write.rows[name] for write in written if name in write.rows]:
                    changes.append((name, len(rows), self._connection.executemany(statement, rows)))
            for write in written:
                if write.follow_up:
                    write.follow_up(self._connection)
        for name, number, changed in changes:
            if changed.rowcount != number:
                raise SendLogError(f"rows are not in the expected state ({name})")
        results = [
            write.action(self._connection) if write.action and refused is None else None
            for write, refused in zip(batch, refusals, strict=True)
        ]
        return list(zip(refusals, results, strict=True))

    def _refusals(self, batch: list[_Write]) -> list[Exception | None]:
        """Return why each of some writes must not be made, within the transaction; all is asked before it is read."""
        claims = [write.claim for write in batch if write.claim] if self._worker.is_shared else []
        held = self._worker.held(self._connection, claims) if claims else None
        asked = [write.refusal for write in batch if write.refusal]
        is_clear = self._is_clear(self._connection, asked) if asked and self._is_clear else None
        lost = self._lost(claims, held()) if held else {}
        if not asked or (is_clear and is_clear()):
            refusals: list[Exception | None] = [None] * len(batch)
        else:
            with self._connection.pipeline():
                answers = [write.refusal(self._connection) if write.refusal else None for write in batch]
            refusals = [read() if read else None for read in answers]
        if not lost:
            return refusals
        return [
            lost.get(write.claim.id) if write.claim and refused is None else refused
            for write, refused in zip(batch, refusals, strict=True)
        ]

    def _lost(self, claims: Sequence[Claim], held: Collection[int]) -> dict[int, Exception]:
        """Return why rows must not be written that this run had claimed, by their ids."""
        lost: dict[int, Exception] = {each.id: ClaimLostError() for each in claims if each.id not in held}
        if not self._worker.has_lease(self._connection):
            lost = {each.id: _lease_is_over() for each in claims if each.begins} | lost
        return lost

    def _break(self, error: Exception) -> None:
        self._broken = SendLogError(self._database.broken(error))
        self._broken.__cause__ = error
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        except self._database.errors as failure:
            self._broken.add_note(f"the transaction cannot be rolled back: {failure}")


def _lease_is_over() -> TransientError:
    return TransientError("this run was not heard of for longer than its lease; nothing was begun", scope=Scope.NONE)


def _succeed(batch: list[_Write], results: list[_Result]) -> None:
    for write, (refusal, result) in zip(batch, results, strict=True):
        if write.future.done():
            continue
        if refusal:
            write.future.set_exception(refusal)
        else:
            write.future.set_result(result)


def _fail(batch: list[_Write], sentence: str) -> None:
    """Give each caller its own error object."""
    for write in batch:
        if not write.future.done():
            write.future.set_exception(SendLogError(sentence))
