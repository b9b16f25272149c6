"""What a send log needs of its database: `LogDatabase`, one for each backend, and its `LogConnection`s.

The classes of this folder hold all logic, and know statements by their names alone. A backend has the statements, the
connections, the lock and the sentences about what goes wrong.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from campaign.config.postgres_url import PostgresUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import SimpleNamespace

    from campaign.errors import CampaignError
    from campaign.sendlog.permits import PermitExchange

#: Where a send log is: a file, or a database. Its text is for messages and holds no secret.
LogLocation: TypeAlias = Path | PostgresUrl


class LogChanges(Protocol):
    """The result of a statement that changes rows."""

    @property
    def rowcount(self) -> int:
        """The number of rows that the statement changed; of `executemany`, that all its rows changed."""
        ...


class LogCursor(LogChanges, Protocol):
    """The result of a statement: rows to fetch or to iterate over, or the number of rows that it changed."""

    def fetchone(self) -> Any:  # noqa: ANN401 - the columns of the statement
        """Return the next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that were not fetched yet."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that were not fetched yet."""
        ...


class LogConnection(Protocol):
    """A connection to a send log. Each statement is a transaction of its own, unless one is open."""

    #: The statements of the backend's .sql files, by name.
    sql: SimpleNamespace
    #: How many rows `add_new` adds best at once.
    rows_at_once: int
    #: How many rows of a CSV one transaction writes best: others wait for its end, and each end costs writes.
    rows_per_part: int

    @property
    def is_open(self) -> bool:
        """Whether the connection can be used, as far as can be seen without asking."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def execute(self, statement: str, parameters: Mapping[str, object] = ..., /) -> LogCursor:
        """Execute a statement with named parameters."""
        ...

    def executemany(self, statement: str, rows: Iterable[Mapping[str, object]], /) -> LogChanges:
        """Execute a statement once for each row of named parameters."""
        ...

    def stream(self, statement: str, parameters: Mapping[str, object], /) -> Iterator[Any]:
        """Yield the rows of a statement in bounded memory; other statements may be executed meanwhile."""
        ...

    def pipeline(self) -> AbstractContextManager[object]:
        """Let the statements of the block be executed before the results of earlier ones are read, where that helps."""
        ...

    def begin(self) -> None:
        """Open a transaction that writes: it waits for another one's end, and no other begins before its own."""
        ...

    def begin_preparing(self, campaign: int) -> None:
        """Open a transaction that writes one campaign's rows, and may take long: runs of others may write meanwhile."""
        ...

    def begin_short(self) -> None:
        """Open a short transaction that writes no row of a campaign that is prepared; it does not wait for that one."""
        ...

    def server_time(self) -> float | None:
        """Return the time by the clock of the log's server (seconds since the epoch); None: it has no server."""
        ...

    def begin_snapshot(self) -> None:
        """Open a transaction that reads: its statements see the log as it was at the first one."""
        ...

    def commit(self) -> None:
        """Make the transaction's writes durable."""
        ...

    def rollback(self) -> None:
        """Take the transaction's writes back."""
        ...

    def add_new(
        self, common: Mapping[str, object], columns: Sequence[str], rows: Sequence[Sequence[object]], /
    ) -> bool:
        """Add rows to the table `delivery`, within a transaction; add none and return False if one is there already.

        Args:
            common: the columns, by name, that have the same value in all rows.
            columns: the names of the rows' other columns; those that are not named get their defaults.
            rows: at most `rows_at_once`.
        """
        ...

    def add(self, common: Mapping[str, object], columns: Sequence[str], rows: Sequence[Sequence[object]], /) -> None:
        """Add rows to the table `delivery`, within a transaction, of which the caller knows that none is there."""
        ...

    def analyze(self) -> None:
        """Let the database look how many rows there are now, if its plans depend on that; within a transaction."""
        ...

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        ...


class LogDatabase(ABC):
    """The database of a send log: how it is reached, locked and read, and what its errors mean."""

    #: The errors of the backend's library.
    errors: type[Exception]

    @property
    @abstractmethod
    def place(self) -> LogLocation:
        """Where the log is; its text is for messages and holds no secret."""

    @property
    @abstractmethod
    def sql(self) -> SimpleNamespace:
        """The statements of the backend's .sql files, by name."""

    @abstractmethod
    def connect(self, *, for_writing: bool) -> LogConnection:
        """Return a connection; for writing, a log that does not exist is created, and an older one is migrated.

        Raises:
            SendLogUnusableError: the log cannot be used, or it is to be read and does not exist.
        """

    @abstractmethod
    def held(self, *, by: str = "", with_others: bool = False) -> AbstractContextManager[LogDatabase]:
        """Lock the log during the block, so that at most one run uses it; yield the database to be used in it.

        Args:
            by: what holds it, for whoever wants it meanwhile, such as `campaign watch`; empty: a run.
            with_others: other runs may use it, too, if the backend has workers that share it.

        Raises:
            LogHeldError: another run has the lock.
            SendLogUnusableError: the log cannot be locked.
        """

    def held_by_process(self, *, by: str) -> AbstractContextManager[LogDatabase]:
        """Lock the log during the block for a process with several writers, each of which opens it with `writer`.

        Args:
            by: see `held`.

        Raises:
            LogHeldError, SendLogUnusableError: as of `held`.
        """
        return self.held(by=by)

    def writer(self) -> AbstractContextManager[LogDatabase]:
        """Yield the database for one of several writers; what writes then has the lock, however long it lives.

        Raises:
            LogHeldError, SendLogUnusableError: as of `held`, if a lock is a session's and not a process's.
        """
        return nullcontext(self)

    @abstractmethod
    def exists(self) -> bool:
        """Return whether there is a log, of whatever version."""

    def moved(self, connection: LogConnection) -> str | None:  # noqa: ARG002 - of the backends whose logs can move
        """Return the sentence with which changes are refused, since the log was moved; None: it is used here."""
        return None

    def moved_to(self, connection: LogConnection) -> str | None:  # noqa: ARG002 - of the backends whose logs can move
        """Return the place to which the log was moved, without secrets; None: it was not, or has come back."""
        return None

    @abstractmethod
    def discard(self) -> None:
        """Delete a closed log that has no recipients."""

    def permits(self, worker: str) -> PermitExchange | None:  # noqa: ARG002 - of the backends that have workers
        """Return what shares the rates of a run with other workers; None: there are no others.

        Args:
            worker: tells this worker from all others.
        """
        return None

    @abstractmethod
    def unusable(self, error: Exception) -> CampaignError:
        """Return what an error means when the log is opened or read: a SendLogUnusableError."""

    @abstractmethod
    def unchanged(self, error: Exception) -> CampaignError:
        """Return what an error of a transaction means that was rolled back."""

    def uncommitted(self, error: Exception) -> CampaignError:
        """Return what an error means that came in place of the answer to a commit."""
        return self.unchanged(error)

    @abstractmethod
    def broken(self, error: Exception) -> str:
        """Return the sentence with which a run ends whose write failed: what it can no longer trust."""

    @contextmanager
    def sentences(self) -> Iterator[None]:
        """Convert the library's errors in the block to `unusable`."""
        try:
            yield
        except self.errors as error:
            raise self.unusable(error) from error

    @contextmanager
    def transaction(
        self, connection: LogConnection, begin: Callable[[], None] | None = None
    ) -> Iterator[LogConnection]:
        """Commit what the block writes, or roll all of it back.

        Args:
            connection: where it writes.
            begin: opens a transaction of another kind than the connection's `begin` does.

        Raises:
            SendLogError: the log cannot be written.
            SendLogUnusableError: the log is damaged.
        """
        try:
            (begin or connection.begin)()
            yield connection
        except BaseException as error:
            self._undo(connection)
            if isinstance(error, self.errors):
                raise self.unchanged(error) from error
            raise
        try:
            connection.commit()
        except self.errors as error:
            self._undo(connection)
            raise self.uncommitted(error) from error

    def _undo(self, connection: LogConnection) -> None:
        try:
            if connection.in_transaction:
                connection.rollback()
        except self.errors:
            return  # the error that led here says more
