"""Group commit: a caller awaits its own write, and many callers share one transaction. No SQL of its own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
from collections import defaultdict
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from campaign.errors import SendLogError
from campaign.sendlog.jsontext import encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    #: Something to be done, and who waits for its result.
    _Action = tuple[asyncio.Future[Any], Callable[[sqlite3.Connection], Any]]

T = TypeVar("T")

#: What nothing waits for is written after so many seconds, if nothing else was to be written meanwhile.
_COMPANY = 0.004
#: Rows that make a transaction full. Whoever waits for the first goes on while the next transaction is written.
_FULL = 100


class _Batch:
    """Writes that share a transaction: rows that make a step, and whatever else is done in it; then what is read."""

    __slots__ = ("actions", "at_once", "futures", "reads", "rows", "urgent")

    def __init__(self) -> None:
        #: The rows of each step.
        self.rows: defaultdict[str, list[object]] = defaultdict(list)
        #: Who waits for a row.
        self.futures: list[asyncio.Future[None]] = []
        self.actions: list[_Action] = []
        #: What is read when all that is done.
        self.reads: list[_Action] = []
        #: What is called before anybody goes on, each with who waits for it.
        self.at_once: list[tuple[asyncio.Future[None], Callable[[], None]]] = []
        #: Something waits for it to go on.
        self.urgent = False

    def join(self, other: _Batch) -> None:
        """Take the writes of a later one in."""
        for step, rows in other.rows.items():
            self.rows[step] += rows
        self.futures += other.futures
        self.actions += other.actions
        self.reads += other.reads
        self.at_once += other.at_once
        self.urgent |= other.urgent

    @property
    def is_full(self) -> bool:
        """Whether no further row should join."""
        return len(self.futures) >= _FULL

    def succeed(self, results: list[Any]) -> None:
        """Tell everybody that the writes are on the disk.

        Args:
            results: of the actions, and of what was read.
        """
        for future, at_once in self.at_once:
            if not future.done():
                try:
                    at_once()
                except Exception as error:  # noqa: BLE001 - its own caller's; the others must learn of their writes
                    future.set_exception(error)
        for future in self.futures:
            if not future.done():
                future.set_result(None)
        for (future, _), result in zip((*self.actions, *self.reads), results, strict=True):
            if not future.done():
                future.set_result(result)

    def fail(self, error: SendLogError) -> None:
        """Tell everybody, each with an error of their own, that the writes are lost."""
        for future in (*self.futures, *(future for future, _ in (*self.actions, *self.reads))):
            if not future.done():
                future.set_exception(SendLogError(str(error)))


class GroupCommit:
    """A writer thread that owns a connection; every write that waits joins the next transaction, until it is full.

    While one transaction is being flushed to the disk the next one gathers, so the number of writes per flush
    follows the load by itself. All steps of a transaction are one statement, and where nothing else is written it is
    the whole transaction: with each statement the thread hands the interpreter's lock over, and has to get it back
    from a busy event loop. After a failed write nothing more is written: the log can no longer be trusted.

    Args:
        connection: handed over until `close`.
        path: the log's, for the sentence.
        steps: the names of the steps that rows can make.
        statement: makes all steps of a transaction, each of which it takes as a parameter of that name: its rows as
            one JSON array, or NULL.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: str, steps: Sequence[str] = (), statement: str = ""
    ) -> None:
        self._connection = connection
        self._path = path
        self._nobody = dict.fromkeys(steps)
        self._statement = statement
        #: What came in this turn of the event loop: handed over at its end, since each time may wake the thread.
        self._gathered: _Batch | None = None
        self._waiting: SimpleQueue[_Batch | None] = SimpleQueue()
        self._broken: SendLogError | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="send-log", daemon=True)
        self._thread.start()

    def submit(self, action: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Return a future of the action's result that is done when what it wrote is on the disk.

        Raises:
            SendLogError: (in the future) the log cannot be written any longer.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        batch = self._gathered or self._begin()
        batch.actions.append((future, action))
        batch.urgent = True
        return future

    def read(self, action: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Return a future of what an action reads when all that was written before is on the disk.

        Raises:
            SendLogError: (in the future) the log cannot be written any longer.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        batch = self._gathered or self._begin()
        batch.reads.append((future, action))
        batch.urgent = True
        return future

    def move(
        self,
        step: str,
        row: object,
        at_once: Callable[[], None] | None = None,
        *,
        urgent: bool = True,
    ) -> asyncio.Future[None]:
        """Return a future that is done when the row has made the step, on the disk.

        Args:
            step: one of the steps.
            row: what JSON can hold.
            at_once: called before anybody who waits for a future has a chance to go on.
            urgent: something waits for it to go on; what does not may wait a few milliseconds for company.

        Raises:
            SendLogError: (in the future) the log cannot be written any longer.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        batch = self._gathered or self._begin()
        batch.rows[step].append(row)
        batch.futures.append(future)
        if at_once is not None:
            batch.at_once.append((future, at_once))
        if urgent:
            batch.urgent = True
        if batch.is_full:
            self._hand_over()
        return future

    def close(self) -> None:
        """Finish what is waiting and end the thread; the connection stays open."""
        self._hand_over()
        self._waiting.put(None)
        self._thread.join()

    def _begin(self) -> _Batch:
        self._loop.call_soon(self._hand_over)
        self._gathered = _Batch()
        return self._gathered

    def _hand_over(self) -> None:
        if self._gathered is not None:
            self._waiting.put(self._gathered)
            self._gathered = None

    def _work(self) -> None:
        _interrupt_nobody()
        closing = False
        while not closing:
            batch, closing = self._next()
            if batch.futures or batch.actions or batch.reads:
                results = self._commit(batch)
                if self._broken:
                    self._loop.call_soon_threadsafe(batch.fail, self._broken)
                else:
                    self._loop.call_soon_threadsafe(batch.succeed, results)

    def _next(self) -> tuple[_Batch, bool]:
        """Wait for the next transaction's writes; return them, and whether they are the last."""
        batch, patience = _Batch(), None
        while not batch.is_full:
            try:
                other = self._waiting.get(timeout=patience)
            except Empty:
                break
            if other is None:
                return batch, True
            batch.join(other)
            patience = _COMPANY if patience is None and not batch.urgent else 0.0
        return batch, False

    def _commit(self, batch: _Batch) -> list[Any]:
        """Return each action's result, or nothing if the log is broken."""
        if self._broken:
            return []
        results: list[Any] = []
        try:
            if batch.actions:
                self._connection.execute("BEGIN IMMEDIATE")
                self._make_steps(batch)
                results = [action(self._connection) for _, action in batch.actions]
                self._connection.execute("COMMIT")
            else:
                self._make_steps(batch)
            results += [action(self._connection) for _, action in batch.reads]
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing after it may be written
            self._break(error)
            return []
        return results

    def _make_steps(self, batch: _Batch) -> None:
        if batch.rows:
            steps = self._nobody | {step: encoded(rows) for step, rows in batch.rows.items()}
            # unlike `execute` it does not ask for the last row's number, for which the lock would be handed over, too
            self._connection.executemany(self._statement, (steps,))

    def _break(self, error: Exception) -> None:
        self._broken = SendLogError(
            f"the send log {self._path} cannot be written any longer ({error}); nothing more was sent. "
            "Free the disk or mend the log, then run the same command again"
        )
        self._broken.__cause__ = error
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error as failure:
                self._broken.add_note(f"nor be rolled back: {failure}")


def _interrupt_nobody() -> None:
    """Have this thread wait for a processor instead of taking it from another: what gathers meanwhile is written along.

    It keeps its share of the time (sched(7), SCHED_BATCH). Where there is no such policy, or it is not allowed, nothing
    is changed.
    """
    if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
