"""Group commit: a caller awaits its own write, and many callers share one transaction. No SQL of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from campaign.errors import SendLogError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

#: What nothing waits for is written after so many seconds, if nothing else was to be written meanwhile.
_COMPANY = 0.004

_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class _Write(NamedTuple):
    """A write that waits: a row that makes a step, or whatever else is to be done in the transaction."""

    future: asyncio.Future[Any]
    step: str = ""
    row: object = None
    action: Callable[[sqlite3.Connection], Any] | None = None
    at_once: Callable[[], None] | None = None
    urgent: bool = True


class GroupCommit:
    """A writer thread that owns a connection; every write that waits joins the next transaction.

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
        self._gathered: list[_Write] = []
        self._waiting: SimpleQueue[list[_Write] | None] = SimpleQueue()
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
        self._add(_Write(future, action=action))
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
        self._add(_Write(future, step, row, at_once=at_once, urgent=urgent))
        return future

    def close(self) -> None:
        """Finish what is waiting and end the thread; the connection stays open."""
        self._hand_over()
        self._waiting.put(None)
        self._thread.join()

    def _add(self, write: _Write) -> None:
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(write)

    def _hand_over(self) -> None:
        if self._gathered:
            writes, self._gathered = self._gathered, []
            self._waiting.put(writes)

    def _work(self) -> None:
        _interrupt_nobody()
        batch: list[list[_Write] | None] = []
        while None not in batch:
            batch = [self._waiting.get()]
            self._gather(batch)
            if not any(writes is None or any(write.urgent for write in writes) for writes in batch):
                with suppress(Empty):
                    batch.append(self._waiting.get(timeout=_COMPANY))
                self._gather(batch)
            if writes := [write for each in batch if each is not None for write in each]:
                results = self._commit(writes)
                self._loop.call_soon_threadsafe(_deliver, writes, results, self._broken)

    def _gather(self, batch: list[list[_Write] | None]) -> None:
        while not self._waiting.empty():
            batch.append(self._waiting.get())

    def _commit(self, writes: list[_Write]) -> list[Any]:
        """Return each write's result, or nothing if the log is broken."""
        if self._broken:
            return []
        rows: dict[str, list[object]] = {}
        for write in writes:
            if write.row is not None:
                rows.setdefault(write.step, []).append(write.row)
        steps = self._nobody | {step: _json(each) for step, each in rows.items()}
        alone = all(write.action is None for write in writes)
        try:
            if alone:
                self._connection.execute(self._statement, steps)
                return [None] * len(writes)
            self._connection.execute("BEGIN IMMEDIATE")
            if rows:
                self._connection.execute(self._statement, steps)
            results = [write.action(self._connection) if write.action else None for write in writes]
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing after it may be written
            self._break(error)
            return []
        return results

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


def _deliver(writes: list[_Write], results: list[Any], broken: SendLogError | None) -> None:
    if broken:
        for write in writes:
            if not write.future.done():
                write.future.set_exception(SendLogError(str(broken)))
        return
    for write in writes:
        if write.at_once is not None and not write.future.done():
            try:
                write.at_once()
            except Exception as error:  # noqa: BLE001 - it is its own caller's, and the others must learn of their writes
                write.future.set_exception(error)
    for write, result in zip(writes, results, strict=True):
        if not write.future.done():
            write.future.set_result(result)
