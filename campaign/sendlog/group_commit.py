"""Group commit: each caller of `GroupCommit.write` awaits its own write, and many writes share one transaction."""

from __future__ import annotations

import asyncio
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from campaign.errors import SendLogError
from campaign.sendlog.group_transaction import GroupTransaction, Write
from campaign.sendlog.worker import LogWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from campaign.sendlog.database import LogConnection, LogDatabase
    from campaign.sendlog.group_transaction import IsClear, Refusal, Result
    from campaign.sendlog.worker import Claim

T = TypeVar("T")

#: How long a non-urgent write waits for others to share its fsync (seconds).
_GROUPING_DELAY_S = 0.004
#: The most writes in one transaction. Their callers continue while the next transaction is written.
_MAX_BATCH = 100


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
        is_clear: IsClear | None = None,
        is_sequential: bool = False,
        worker: LogWorker | None = None,
    ) -> None:
        self._connection = connection
        self._database = database
        self._transaction = GroupTransaction(
            connection, statements, is_clear, is_sequential=is_sequential, worker=worker or LogWorker()
        )
        self._waiting: SimpleQueue[Write | None] = SimpleQueue()
        self._broken: SendLogError | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="send-log", daemon=True)
        self._thread.start()

    def write(
        self,
        rows: Mapping[str, Mapping[str, object]],
        *,
        urgent: bool = True,
        refusal: Refusal | None = None,
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
        self._waiting.put(Write(future, rows, refusal, follow_up=follow_up, urgent=urgent, claim=claim))
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
        self._waiting.put(Write(future, {}, action=action, claim=claim, alone=alone))
        return future

    def look(self) -> None:
        """Commit an empty transaction to find out whether the database answers; callable from any thread."""
        self._loop.call_soon_threadsafe(lambda: self.submit(lambda _: None).add_done_callback(asyncio.Future.exception))

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

    def _next(self) -> list[Write]:
        """Wait for writes; return those of the next transaction, or an empty list after `close`."""
        batch: list[Write] = []
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

    def _commit(self, batch: list[Write]) -> list[Result]:
        """Return the refusal or the result of each write; an empty list if this or an earlier transaction failed."""
        if self._broken:
            return []
        try:
            return self._transaction.execute(batch)
        except Exception as error:  # noqa: BLE001 - after any error, nothing more may be written
            self._break(error)
            return []

    def _break(self, error: Exception) -> None:
        self._broken = SendLogError(self._database.broken(error))
        self._broken.__cause__ = error
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        except self._database.errors as failure:
            self._broken.add_note(f"the transaction cannot be rolled back: {failure}")


def _succeed(batch: list[Write], results: list[Result]) -> None:
    for write, (refusal, result) in zip(batch, results, strict=True):
        if write.future.done():
            continue
        if refusal:
            write.future.set_exception(refusal)
        else:
            write.future.set_result(result)


def _fail(batch: list[Write], sentence: str) -> None:
    """Give each caller its own error object."""
    for write in batch:
        if not write.future.done():
            write.future.set_exception(SendLogError(sentence))
