"""Group commit: a caller awaits its own write, and many callers share one transaction. No SQL of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from campaign.errors import SendLogError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_Write = tuple["Callable[[sqlite3.Connection], Any]", "asyncio.Future[Any]"]


class GroupCommit:
    """A writer thread that owns a connection; every write that waits joins the next transaction.

    While one transaction is being flushed to the disk the next one gathers, so the number of writes per flush
    follows the load by itself. After a failed write nothing more is written: the log can no longer be trusted.
    """

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._waiting: SimpleQueue[_Write | None] = SimpleQueue()
        self._broken: SendLogError | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="send-log", daemon=True)
        self._thread.start()

    def submit(self, write: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Return a future of the write's result that is done when the write is on the disk.

        Raises:
            SendLogError: (in the future) the log cannot be written any longer.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.put((write, future))
        return future

    def close(self) -> None:
        """Finish what is waiting and end the thread; the connection stays open."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        closing = False
        while not closing:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            closing = None in batch
            writes = [item for item in batch if item is not None]
            if not writes:
                continue
            results = self._commit(writes)
            self._loop.call_soon_threadsafe(_deliver, writes, results, self._broken)

    def _commit(self, writes: list[_Write]) -> list[Any]:
        if self._broken:
            return []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = [write(self._connection) for write, _ in writes]
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing after it may be written
            self._broken = SendLogError(
                f"the send log {self._path} cannot be written any longer ({error}); nothing more was sent. "
                "Free the disk or mend the log, then run the same command again"
            )
            self._broken.__cause__ = error
            if self._connection.in_transaction:
                self._roll_back()
            return []
        return results

    def _roll_back(self) -> None:
        try:
            self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._broken.add_note(f"nor be rolled back: {error}") if self._broken else None


def _deliver(writes: list[_Write], results: list[Any], broken: SendLogError | None) -> None:
    if broken:
        for _, future in writes:
            if not future.done():
                future.set_exception(SendLogError(str(broken)))
        return
    for (_, future), result in zip(writes, results, strict=True):
        if not future.done():
            future.set_result(result)
