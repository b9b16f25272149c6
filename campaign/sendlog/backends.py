"""Choose the backend of a send log by its location: `database_of`, `worker_of`, `held`, `migrate` and others."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.clock import ServerClock, SystemClock
from campaign.errors import SendLogUnusableError
from campaign.sendlog.database import LogDatabase
from campaign.sendlog.server_time import follow
from campaign.sendlog.sqlite.contents import SqliteContents
from campaign.sendlog.sqlite.database import SqliteDatabase
from campaign.sendlog.sqlite.files import open_to_move
from campaign.sendlog.worker import LogWorker

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from campaign.clock import Clock
    from campaign.sendlog.contents import LogContents
    from campaign.sendlog.worker_list import WorkerState

from campaign.sendlog.database import LogLocation


def database_of(log: LogLocation | LogDatabase) -> LogDatabase:
    """Return the database of a send log.

    Raises:
        SendLogUnusableError: it is in PostgreSQL, and what that needs is not installed.
    """
    if isinstance(log, LogDatabase):
        return log
    if isinstance(log, Path):
        return SqliteDatabase(log)
    try:
        from campaign.sendlog.postgres.database import PostgresDatabase  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SendLogUnusableError(
            f"the send log {log} is in PostgreSQL, and psycopg for it is not installed ({error}); "
            "type: pip install 'campaign[postgres]'"
        ) from error
    return PostgresDatabase(log)


def contents_of(database: LogDatabase) -> LogContents:
    """Return all rows of a log, to be moved, over a connection of their own; the log may not be there yet.

    Raises:
        SendLogUnusableError: it cannot be opened.
    """
    place = database.place
    if isinstance(place, Path):
        return SqliteContents(open_to_move(place))
    from campaign.sendlog.postgres.contents import PostgresContents  # noqa: PLC0415 - an extra
    from campaign.sendlog.postgres.database import PostgresDatabase  # noqa: PLC0415

    assert isinstance(database, PostgresDatabase)  # noqa: S101 - no other one has such a place
    return PostgresContents(database, database.connect_to_move())


def worker_of(database: LogDatabase) -> LogWorker:
    """Return what a run is among those that write a send log: the only one, unless the backend has several."""
    place = database.place
    if isinstance(place, Path):
        return LogWorker()
    from campaign.sendlog.postgres.worker import PostgresWorker  # noqa: PLC0415 - an extra

    return PostgresWorker(place)


def log_time(log: LogLocation) -> Clock:
    """Return the time of a send log: this machine's for a file, that of the log's server if it has one.

    Raises:
        SendLogUnusableError: the server does not answer.
    """
    if isinstance(log, Path):
        return SystemClock()
    database, clock = database_of(log), ServerClock()
    from campaign.sendlog.postgres.session import open_session  # noqa: PLC0415 - an extra

    with database.sentences(), closing(open_session(log, wait_s=0)) as connection:
        follow(clock, connection)
    return clock


def workers_of(log: LogLocation) -> list[WorkerState] | None:
    """Return the runs that share a send log now; None if it is one that a single run uses.

    Raises:
        SendLogUnusableError: there is no log, or it cannot be read.
    """
    database = database_of(log)
    if isinstance(log, Path):
        return None
    from campaign.sendlog.postgres.worker import read_workers  # noqa: PLC0415 - an extra

    with closing(database.connect(for_writing=False)) as connection, database.sentences():
        return read_workers(connection)


def held(log: LogLocation, *, by: str = "", with_others: bool = False) -> AbstractContextManager[LogDatabase]:
    """Lock a send log during the block, so that at most one run uses it; see `LogDatabase.held`."""
    return database_of(log).held(by=by, with_others=with_others)


def held_by_process(log: LogLocation, *, by: str) -> AbstractContextManager[LogDatabase]:
    """Lock a send log during the block for several writers of this process; see `LogDatabase.held_by_process`."""
    return database_of(log).held_by_process(by=by)


def exists(log: LogLocation) -> bool:
    """Return whether there is a send log at a location."""
    return database_of(log).exists()


def migrate(log: LogLocation) -> None:
    """Create the tables of a send log, or bring those of an earlier version up to date, while no run uses them.

    Raises:
        LogHeldError: a run uses the log.
        SendLogUnusableError: the log cannot be used, or its user must not change it.
    """
    with held(log) as database:
        database.connect(for_writing=True).close()


def discard(log: LogLocation) -> None:
    """Delete a closed send log that has no recipients."""
    database_of(log).discard()
