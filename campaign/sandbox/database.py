"""Open the sandbox's one SQLite file and run transactions on it: `Database`. The tables are in `schema.sql`."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING

from campaign.sandbox.errors import SandboxError
from campaign.sandbox.folder import private_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: The schema version: raised with each change of `schema.sql` that older files lack.
_VERSION = 3

#: Seconds that a statement waits for another process's lock (`campaign run` beside `campaign sandbox`).
_BUSY_TIMEOUT_S = 30.0


class Database:
    """The SQLite file, open in this process. Safe to use from any thread: a lock serialises access.

    The data survives a crash of the process at any moment. Commits are not synced to the disk, so a power
    failure can lose the last moments.

    Attributes:
        clock: returns seconds since the epoch; the machine's time until `State` sets another one.

    Raises:
        SandboxError: the file is not a sandbox's, or belongs to another version of this program.
    """

    def __init__(self, file: Path) -> None:
        self.clock: Callable[[], float] = time.time
        private_file(file)
        for beside in (file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
            if beside.is_symlink():
                raise SandboxError(f"{beside} is a symbolic link; remove it.")
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(file, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        try:
            self._prepare(file)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise SandboxError(
                f"{file} is not the state of a sandbox ({error}); "
                "remove it to start afresh, or set CAMPAIGN_SANDBOX to another folder."
            ) from error
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, file: Path) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        with self.transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if not version:
                schema = files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
                for statement in _statements(schema):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                raise SandboxError(
                    f"{file} was written by another version of this program; "
                    "remove it to start afresh, or set CAMPAIGN_SANDBOX to another folder."
                )

    def now(self) -> int:
        """Return milliseconds since the epoch."""
        return int(self.clock() * 1000)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block in a write transaction: all of its changes are stored or none, with no other writer between."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows that a query finds."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: object) -> sqlite3.Row | None:
        """Return the first row that a query finds."""
        with self._lock:
            row: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
            return row

    def setting(self, name: str, fresh: str) -> str:
        """Return the setting `name`; if it does not exist, store `fresh` as its value first."""
        with self.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (name, fresh))
            (value,) = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
            return str(value)

    def has_setting(self, name: str) -> bool:
        """Return whether the setting `name` exists."""
        return self.one("SELECT 1 FROM settings WHERE name = ?", name) is not None

    def close(self) -> None:
        """Close the file; later calls raise sqlite3's error."""
        with self._lock:
            self._connection.close()


def _statements(script: str) -> Iterator[str]:
    """Split a script into statements; `executescript` would commit the current transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
