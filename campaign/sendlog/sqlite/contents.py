"""All rows of a send log in a SQLite file, to be moved: `SqliteContents`."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from campaign.sendlog.contents import TABLES, CountedRows, LogContents, UnfitRowError
from campaign.sendlog.sqlite import files
from campaign.sendlog.sqlite.statements import MOVING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from campaign.sendlog.sqlite.connection import SqliteConnection

_CHANGES = ("INSERT", "UPDATE", "DELETE")


class SqliteContents(LogContents):
    """`LogContents` in a file.

    Args:
        connection: as `files.open_to_move` returns it.
    """

    revocation_order = "rowid"

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, MOVING)
        self._file = connection

    @property
    def exists(self) -> bool:
        """Whether there are tables."""
        return not files.is_empty(self._file)

    def make_current(self) -> None:
        """Make the tables if there are none, and migrate those of an older version."""
        files.bring_up_to_date(self._file)

    def clear(self) -> None:
        """Drop all tables, with their guards, and make them anew."""
        for (name,) in self._file.execute(MOVING.tables).fetchall():
            self._file.execute(MOVING.drop.replace("{table}", name))
        files.forget_identity(self._file)
        self.make_current()
        self._file.execute(MOVING.set_cache)

    def rows(self, table: str, columns: Sequence[str]) -> Generator[tuple[Any, ...], None, None]:
        """Yield the rows of a table in its order."""
        number = 0
        try:
            for row in super().rows(table, columns):
                number += 1
                yield row
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
            raise UnfitRowError(table, number + 1, "a text of it is not UTF-8") from error

    def add(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add rows in their order."""
        statement = self.filled(MOVING.add, table, columns).replace("{places}", ", ".join("?" * len(columns)))
        counted = CountedRows(rows)
        try:
            self._file.executemany(statement, iter(counted))
        except (sqlite3.IntegrityError, OverflowError) as error:
            raise UnfitRowError(table, counted.number, str(error)) from error

    def settle(self) -> None:
        """Do nothing: new ids follow the largest one, and the plans are the same for any number of rows."""

    def guard(self, text: str) -> None:
        """Let every table refuse changes with these words."""
        literal = "'" + text.replace("'", "''") + "'"
        for table in TABLES:
            for change in _CHANGES:
                self._file.execute(self._for(MOVING.guard, table, change).replace("{text}", literal))

    def unguard(self) -> None:
        """Let the tables take changes again."""
        for table in TABLES:
            for change in _CHANGES:
                self._file.execute(self._for(MOVING.unguard, table, change))

    def expressions(self, table: str) -> dict[str, str]:
        """Return the columns, each of which is read by its name."""
        return {name: name for (name,) in self._file.execute(MOVING.columns, {"table": table})}

    def row_at(self, table: str, number: int) -> dict[str, Any]:
        """Return the row at a place (from 1) of a table; bytes that are not UTF-8 become U+FFFD."""
        before, self._file.text_factory = self._file.text_factory, _readable
        try:
            return super().row_at(table, number)
        finally:
            self._file.text_factory = before

    def _for(self, statement: str, table: str, change: str) -> str:
        return str(statement).replace("{table}", table).replace("{change}", change)


def _readable(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
