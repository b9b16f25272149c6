"""A connection to a SQLite send log, as the classes of the send log use it: `SqliteConnection`."""

from __future__ import annotations

import sqlite3
from contextlib import nullcontext
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from campaign.sendlog.sqlite.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager


class SqliteConnection(sqlite3.Connection):
    """`LogConnection` in SQLite: the standard library's connection, without transactions of its own making."""

    sql = SQL
    #: One INSERT for many rows takes half the time.
    rows_at_once = 500
    #: A quarter of a second. The pages of the index that a smaller part changes would be written more often.
    rows_per_part = 20_000

    @property
    def is_open(self) -> bool:
        """Whether the connection can be used: a file does not go away."""
        return True

    def stream(self, statement: str, parameters: Mapping[str, object], /) -> Iterator[Any]:
        """Yield the rows of a statement; SQLite reads each when it is asked for."""
        yield from self.execute(statement, parameters)

    def pipeline(self) -> AbstractContextManager[None]:
        """Do nothing: a result is there when its statement was executed."""
        return nullcontext()

    def analyze(self) -> None:
        """Do nothing: the plans are the same for any number of rows."""

    def server_time(self) -> None:
        """Return None: the only clock is this machine's."""

    def begin(self) -> None:
        """Open a transaction, as the only one that writes."""
        self.execute("BEGIN IMMEDIATE")

    def begin_preparing(self, campaign: int) -> None:
        """Open a transaction, as the only one that writes."""
        del campaign
        self.begin()

    def begin_short(self) -> None:
        """Open a transaction, as the only one that writes."""
        self.begin()

    def begin_snapshot(self) -> None:
        """Open a transaction that reads."""
        self.execute("BEGIN")

    def add_new(
        self, common: Mapping[str, object], columns: Sequence[str], rows: Sequence[Sequence[object]], /
    ) -> bool:
        """Add rows with one INSERT, which adds all or none; False: the unique index has found one of them."""
        try:
            self.execute(
                _adding(tuple(common), tuple(columns), len(rows)), [*common.values(), *chain.from_iterable(rows)]
            )
        except sqlite3.IntegrityError:
            return False
        return True

    def add(self, common: Mapping[str, object], columns: Sequence[str], rows: Sequence[Sequence[object]], /) -> None:
        """Add rows one by one: a statement for each number of rows would not stay prepared."""
        statement, values = _adding(tuple(common), tuple(columns), 1), tuple(common.values())
        self.executemany(statement, ((*values, *row) for row in rows))


@lru_cache(maxsize=4)
def _adding(common: tuple[str, ...], columns: tuple[str, ...], number: int) -> str:
    """Return the INSERT for `number` rows. The cache has room for a full chunk, the last one, and a single row.

    The values that all rows have in common are bound once: fewer values to bind are a tenth of the time.
    """
    row = ", ".join([*(f"?{place}" for place in range(1, len(common) + 1)), *"?" * len(columns)])
    statement = str(SQL.add_deliveries).replace("{columns}", ", ".join(common + columns))
    return statement.replace("{rows}", ", ".join([f"({row})"] * number))
