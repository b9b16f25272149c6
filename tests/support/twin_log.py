"""Run every statement of a send log on SQLite and on PostgreSQL, and compare what they return: `TwinDatabase`."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from psycopg import Cursor

from campaign.config.postgres_url import parse_postgres_url
from campaign.sendlog.postgres.database import PostgresDatabase
from campaign.sendlog.postgres.statements import SQL as OF_POSTGRES
from campaign.sendlog.sqlite.database import SqliteDatabase
from campaign.sendlog.sqlite.statements import SQL as OF_SQLITE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from campaign.sendlog.postgres.connection import PostgresConnection
    from campaign.sendlog.sqlite.connection import SqliteConnection

#: Statements into which the caller puts a text: their name stands for them, and the text follows it.
_WITH_COLUMNS = "counts_of_batches"
#: Every table, with the columns that each backend fills by itself.
_OWN_COLUMNS = {"history": {"id"}, "orphan": {"id"}}
#: Columns that may differ: PostgreSQL changes the rows of a group in its own order, so another one may be the first.
_OF_THE_FIRST = {"acceptances": {0, 3, 4, 5, 6}}
#: The digits of an instant, in which the arithmetic of the two may differ.
_DIGITS = 6


class TwinCursor:
    """The rows that both returned, or the number of rows that both changed."""

    def __init__(self, rows: list[Any], rowcount: int) -> None:
        self._rows = iter(rows)
        self.rowcount = rowcount

    def fetchone(self) -> Any:  # noqa: ANN401 - a row, or None
        """Return the next row, or None."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """Return the rows that were not fetched yet."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that were not fetched yet."""
        return self._rows


class TwinConnection:
    """A `LogConnection` to two logs with the same content. A statement is known by its name."""

    sql = SimpleNamespace(**{name: name for name in vars(OF_SQLITE)} | {"column_of_batch": OF_SQLITE.column_of_batch})
    rows_at_once = 500
    rows_per_part = 60

    def __init__(self, sqlite: SqliteConnection, postgres: PostgresConnection, seen: set[str]) -> None:
        self._sqlite = sqlite
        self._postgres = postgres
        self._seen = seen
        self.sql.counts_of_batches = f"{_WITH_COLUMNS} {{columns}}"

    @property
    def is_open(self) -> bool:
        """Whether both can be used."""
        return self._sqlite.is_open and self._postgres.is_open

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        assert self._sqlite.in_transaction == self._postgres.in_transaction
        return self._sqlite.in_transaction

    def execute(self, statement: str, parameters: Mapping[str, object] | None = None, /) -> TwinCursor:
        """Execute a statement on both; both must return the same rows, and change as many."""
        name, _, columns = statement.partition(" ")
        self._seen.add(name)
        arguments = parameters or {}
        here = self._sqlite.execute(getattr(OF_SQLITE, name).replace("{columns}", columns), arguments)
        rows = here.fetchall()
        there = self._postgres.execute(getattr(OF_POSTGRES, name).replace("{columns}", columns), arguments)
        assert isinstance(there, Cursor)
        others = there.fetchall() if there.description else []
        in_order = "ORDER BY" in OF_SQLITE.__dict__[name] or "RETURNING" in OF_SQLITE.__dict__[name]
        both = [_comparable(_without(_OF_THE_FIRST.get(name), each), in_order=in_order) for each in (rows, others)]
        assert both[0] == both[1], (name, arguments)
        changes = not rows and here.rowcount >= 0
        assert not changes or here.rowcount == there.rowcount, (name, arguments, here.rowcount, there.rowcount)
        return TwinCursor(rows, here.rowcount)

    def executemany(self, statement: str, rows: Iterable[Mapping[str, object]], /) -> TwinCursor:
        """Execute a statement on both, once for each row; both must change as many rows."""
        self._seen.add(statement)
        taken = list(rows)
        here = self._sqlite.executemany(getattr(OF_SQLITE, statement), taken)
        there = self._postgres.executemany(getattr(OF_POSTGRES, statement), taken)
        assert not taken or here.rowcount == there.rowcount, (statement, taken, here.rowcount, there.rowcount)
        return TwinCursor([], here.rowcount)

    def stream(self, statement: str, parameters: Mapping[str, object], /) -> Iterator[Any]:
        """Yield the rows that both return."""
        return iter(self.execute(statement, parameters))

    def pipeline(self) -> AbstractContextManager[None]:
        """Do nothing: the results of both are compared at once."""
        return nullcontext()

    def begin(self) -> None:
        """Open a transaction that writes."""
        self._sqlite.begin()
        self._postgres.begin()

    def begin_preparing(self, campaign: int) -> None:
        """Open a transaction that prepares a campaign."""
        self._sqlite.begin_preparing(campaign)
        self._postgres.begin_preparing(campaign)

    def begin_short(self) -> None:
        """Open a short transaction."""
        self._sqlite.begin_short()
        self._postgres.begin_short()

    def begin_snapshot(self) -> None:
        """Open a transaction that reads."""
        self._sqlite.begin_snapshot()
        self._postgres.begin_snapshot()

    def commit(self) -> None:
        """Make the writes durable."""
        self._sqlite.commit()
        self._postgres.commit()

    def rollback(self) -> None:
        """Take the writes back."""
        self._sqlite.rollback()
        self._postgres.rollback()

    def add_new(
        self, common: Mapping[str, object], columns: Sequence[str], rows: Sequence[Sequence[object]], /
    ) -> bool:
        """Add rows to both, or to none if one is there already, in which both must agree."""
        self._seen.add("add_deliveries")
        self._use_the_next_id()
        added = self._sqlite.add_new(common, columns, rows)
        assert self._postgres.add_new(common, columns, rows) is added
        return added

    def add(self, common: Mapping[str, object], columns: Sequence[str], rows: Sequence[Sequence[object]], /) -> None:
        """Add rows to both."""
        self._use_the_next_id()
        self._sqlite.add(common, columns, rows)
        self._postgres.add(common, columns, rows)

    def analyze(self) -> None:
        """Let both look at their rows."""
        self._sqlite.analyze()
        self._postgres.analyze()

    def close(self) -> None:
        """Close both, after a look at all tables."""
        try:
            if not self.in_transaction:
                self.compare()
        finally:
            self._sqlite.close()
            self._postgres.close()

    def compare(self) -> None:
        """Assert that both have the same tables with the same rows."""
        tables = [row[0] for row in self._sqlite.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            if table.startswith("sqlite_"):
                continue
            names = [row[1] for row in self._sqlite.execute(f"PRAGMA table_info({table})")]
            query = f"SELECT {', '.join(sorted(set(names) - _OWN_COLUMNS.get(table, set())))} FROM {table}"  # noqa: S608
            here, there = self._sqlite.execute(query).fetchall(), self._postgres.execute(query).fetchall()
            assert _comparable(here) == _comparable(there), table

    def _use_the_next_id(self) -> None:
        """Let PostgreSQL go on after the largest id, as SQLite does: it does not use an id twice by itself."""
        self._postgres.execute(
            "SELECT setval(pg_get_serial_sequence('delivery', 'id'), coalesce(max(id), 1), max(id) IS NOT NULL)"
            " FROM delivery"
        )


class TwinDatabase(SqliteDatabase):
    """A send log in a file, with a twin in PostgreSQL.

    Args:
        path: the file.
        url: a database with an empty send log.
    """

    def __init__(self, path: Path, url: str) -> None:
        super().__init__(path)
        self._url = url
        #: The names of the statements that were executed.
        self.seen: set[str] = set()

    @property
    def database_name(self) -> str:
        """The name of the database in PostgreSQL."""
        return self._url.rpartition("/")[2]

    @property
    def sql(self) -> SimpleNamespace:
        """The statements' names."""
        return TwinConnection.sql

    def connect(self, *, for_writing: bool) -> TwinConnection:  # type: ignore[override]
        """Return a connection to both."""
        sqlite = super().connect(for_writing=for_writing)
        postgres = PostgresDatabase(parse_postgres_url(self._url)).connect(for_writing=for_writing)
        return TwinConnection(sqlite, postgres, self.seen)


def _comparable(rows: Iterable[Sequence[object]], *, in_order: bool = False) -> list[tuple[object, ...]]:
    """Return rows with rounded instants and numbers for truth values, in an order of ours unless they have one."""
    found = [tuple(_plain(value) for value in row) for row in rows]
    return found if in_order else sorted(found, key=repr)


def _without(places: set[int] | None, rows: list[Any]) -> list[Any]:
    return rows if places is None else [[each for place, each in enumerate(row) if place not in places] for row in rows]


def _plain(value: object) -> object:
    if isinstance(value, float):
        return round(value, _DIGITS)
    return int(value) if isinstance(value, bool) else value
