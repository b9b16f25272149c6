"""Group commit: a caller awaits its own write, and many callers share one transaction. No SQL of its own."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from campaign.errors import SendLogError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

_Write = tuple["Step | Callable[[sqlite3.Connection], Any]", "dict[str, Any] | None", "asyncio.Future[Any]"]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A move that many rows make in one transaction: statements that take their rows as one JSON array, `:rows`.

    The last one must move every row, or the log is not what this program thinks it is.
    """

    name: str
    statements: tuple[str, ...]


class GroupCommit:
    """A writer thread that owns a connection; every write that waits joins the next transaction.

    While one transaction is being flushed to the disk the next one gathers, so the number of writes per flush
    follows the load by itself. Rows of the same step become one statement: each statement hands the interpreter's
    lock over and has to get it back from a busy event loop. After a failed write nothing more is written: the log
    can no longer be trusted.

    Args:
        connection: handed over until `close`.
        path: the log's, for the sentence.
        steps: in the order in which they follow each other in one transaction; other writes come after them.
    """

    def __init__(self, connection: sqlite3.Connection, path: str, steps: Sequence[Step]) -> None:
        self._connection = connection
        self._path = path
        self._steps = tuple(steps)
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
        self._waiting.put((write, None, future))
        return future

    def move(self, step: Step, row: dict[str, Any]) -> asyncio.Future[None]:
        """Return a future that is done when the row has made the step, on the disk.

        Raises:
            SendLogError: (in the future) the log cannot be written any longer.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put((step, row, future))
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
            if writes:
                results = self._commit(writes)
                self._loop.call_soon_threadsafe(_deliver, writes, results, self._broken)

    def _commit(self, writes: list[_Write]) -> list[Any]:
        """Return each write's result, or nothing if the log is broken."""
        if self._broken:
            return []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for step in self._steps:
                rows = [row for what, row, _ in writes if what is step and row is not None]
                if rows:
                    self._move(step, rows)
            results = [None if isinstance(what, Step) else what(self._connection) for what, _, _ in writes]
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing after it may be written
            self._break(error)
            return []
        return results

    def _move(self, step: Step, rows: list[dict[str, Any]]) -> None:
        argument = {"rows": json.dumps(rows)}
        for statement in step.statements:
            moved = self._connection.execute(statement, argument).rowcount
        if moved != len(rows):
            raise SendLogError(
                f"{len(rows) - moved} rows are not in the state in which this run left them ({step.name})"
            )

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


def _deliver(writes: list[_Write], results: list[Any], broken: SendLogError | None) -> None:
    if broken:
        for _, _, future in writes:
            if not future.done():
                future.set_exception(SendLogError(str(broken)))
        return
    for (_, _, future), result in zip(writes, results, strict=True):
        if not future.done():
            future.set_result(result)
