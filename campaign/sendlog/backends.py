"""Choose the backend of a send log by its location: `database_of`, `held`, `exists`, `discard`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.sendlog.database import LogDatabase
from campaign.sendlog.sqlite.database import SqliteDatabase

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from campaign.sendlog.database import LogLocation


def database_of(log: LogLocation | LogDatabase) -> LogDatabase:
    """Return the database of a send log."""
    return log if isinstance(log, LogDatabase) else SqliteDatabase(log)


def held(log: LogLocation) -> AbstractContextManager[LogDatabase]:
    """Lock a send log during the block, so that at most one run uses it; see `LogDatabase.held`."""
    return database_of(log).held()


def exists(log: LogLocation) -> bool:
    """Return whether there is a send log at a location."""
    return database_of(log).exists()


def discard(log: LogLocation) -> None:
    """Delete a closed send log in which nobody was enlisted."""
    database_of(log).discard()
