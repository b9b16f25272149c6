"""The send log's database as one SQLite file: `SqliteDatabase`."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from campaign.errors import SendLogError
from campaign.sendlog.database import LogDatabase
from campaign.sendlog.movement import is_guard_text, new_place, read_movements, refusal
from campaign.sendlog.sqlite import files
from campaign.sendlog.sqlite.statements import MOVING, SQL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import SimpleNamespace

    from campaign.errors import CampaignError
    from campaign.sendlog.database import LogConnection
    from campaign.sendlog.sqlite.connection import SqliteConnection


class SqliteDatabase(LogDatabase):
    """A send log in a file.

    Args:
        path: the file.
    """

    errors = sqlite3.Error

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> Path:
        """The file."""
        return self._path

    @property
    def sql(self) -> SimpleNamespace:
        """The statements for SQLite."""
        return SQL

    def connect(self, *, for_writing: bool) -> SqliteConnection:
        """Return a connection; one that reads may be open while a run writes."""
        return files.open_for_writing(self._path) if for_writing else files.open_for_reading(self._path)

    @contextmanager
    def held(self, *, by: str = "", with_others: bool = False) -> Iterator[LogDatabase]:
        """Lock a file beside the log during the block: a log in a file has one run."""
        del with_others
        with files.held(self._path, by=by):
            yield self

    def exists(self) -> bool:
        """Return whether there is a file."""
        return self._path.exists()

    def moved(self, connection: LogConnection) -> str | None:
        """Return the sentence with which changes are refused, since the log was moved; None: it is used here."""
        return refusal(self._path, read_movements(connection, MOVING))

    def moved_to(self, connection: LogConnection) -> str | None:
        """Return the place to which the log was moved, without secrets; None: it was not, or has come back."""
        return new_place(read_movements(connection, MOVING))

    def discard(self) -> None:
        """Delete the file, and those that SQLite keeps beside it."""
        files.discard(self._path)

    def unusable(self, error: Exception) -> CampaignError:
        """Return what an error means when the file is opened or read."""
        return files.unusable(self._path, error)

    def unchanged(self, error: Exception) -> CampaignError:
        """Return what an error of a transaction means that was rolled back."""
        if files.is_damage(error) or is_guard_text(str(error)):
            return self.unusable(error)
        return SendLogError(
            f"the send log {self._path} cannot be written ({error}); nothing was changed. "
            "Free disk space, then run the same command again"
        )

    def broken(self, error: Exception) -> str:
        """Return the sentence with which a run ends whose write failed."""
        return (
            f"the send log {self._path} can no longer be written ({error}); nothing more was sent. "
            "Free disk space or repair the log, then run the same command again"
        )
