"""Choose the backend of a send log by its location: `database_of`, `held`, `exists`, `discard`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from campaign.errors import SendLogUnusableError
from campaign.sendlog.database import LogDatabase
from campaign.sendlog.sqlite.database import SqliteDatabase

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

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


def held(log: LogLocation, *, by: str = "") -> AbstractContextManager[LogDatabase]:
    """Lock a send log during the block, so that at most one run uses it; see `LogDatabase.held`."""
    return database_of(log).held(by=by)


def exists(log: LogLocation) -> bool:
    """Return whether there is a send log at a location."""
    return database_of(log).exists()


def discard(log: LogLocation) -> None:
    """Delete a closed send log that has no recipients."""
    database_of(log).discard()
