"""Every row of a send log, to be copied to another backend and compared there: `LogContents`, `TABLES`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from campaign.sendlog.movement import Direction, guard_text, read_movements

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from types import SimpleNamespace

    from campaign.sendlog.database import LogConnection
    from campaign.sendlog.movement import Movement, Movements

#: The tables that both backends have, each with the columns by which its rows are ordered. A table stands after those
#: to which its rows refer.
TABLES = {
    "campaign": "id",
    "delivery": "id",
    "former_delivery": "campaign_id, id",
    "batch": "campaign_id, number",
    "history": "id",
    "revocation": "{in_order}",
    "user_creation": "address",
    "orphan": "id",
    "renewal": "id",
    "tag_key": "id",
    "campaign_list": "campaign_id, list",
    "suppression": "address, list",
    "report": "id",
    "soft_bounce": "address, campaign_id",
    "sign_in": "campaign_id, key, at",
    "stranger": "campaign_id, key",
    "inquiry": "campaign_id, began",
}
#: The key that the first command makes which opens a log: without rows of other tables it has signed nothing.
_MADE_AT_ONCE = "tag_key"


class TableDigest(NamedTuple):
    """What tells whether two tables have the same rows in the same order."""

    rows: int
    #: SHA-256 over all values, in hexadecimal.
    digest: str


class TablePair(NamedTuple):
    """A table of the two logs."""

    name: str
    source: TableDigest
    target: TableDigest


class UnfitRowError(Exception):
    """A row cannot be held by the log to which it is copied."""

    def __init__(self, table: str, number: int, why: str) -> None:
        super().__init__(why)
        self.table = table
        #: Its place in the table, from 1; 0 if it is not known.
        self.number = number
        self.why = why


class CountedRows:
    """The rows of an iterable, each once; `number` is the place of the last one that was taken, from 1."""

    def __init__(self, rows: Iterable[Sequence[object]]) -> None:
        self._rows = rows
        self.number = 0

    def __iter__(self) -> Iterator[Sequence[object]]:
        """Yield the rows, and count each before it is yielded."""
        for row in self._rows:
            self.number += 1
            yield row


class LogContents(ABC):
    """All rows of a log, over a connection that writes. The methods are called within a transaction.

    Args:
        connection: to a log that is held.
        sql: the backend's statements of `moving.sql`.
    """

    #: The order of the revocations: that in which they were asked for.
    revocation_order: str

    def __init__(self, connection: LogConnection, sql: SimpleNamespace) -> None:
        self.connection = connection
        self._sql = sql

    @abstractmethod
    def make_current(self) -> None:
        """Make the tables if there are none, and migrate those of an older version."""

    @abstractmethod
    def clear(self) -> None:
        """Leave the tables of this version without a row, a note or a guard."""

    @abstractmethod
    def add(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add rows in their order.

        Raises:
            UnfitRowError: a value is none that the database can hold.
        """

    @abstractmethod
    def settle(self) -> None:
        """Let new rows continue the ids of those that were added, and the planner know how many they are."""

    @abstractmethod
    def guard(self, text: str) -> None:
        """Let every table refuse changes by any program of any version, with these words."""

    @abstractmethod
    def unguard(self) -> None:
        """Let the tables take changes again."""

    @abstractmethod
    def expressions(self, table: str) -> dict[str, str]:
        """Return the columns that both backends have, each with the expression that reads it."""

    @property
    @abstractmethod
    def exists(self) -> bool:
        """Whether there are tables."""

    def columns(self, table: str) -> list[str]:
        """Return the names of the columns that both backends have, sorted."""
        return sorted(self.expressions(table))

    def rows(self, table: str, columns: Sequence[str]) -> Generator[tuple[Any, ...], None, None]:
        """Yield the rows of a table in its order, in bounded memory."""
        yield from self.connection.stream(self.filled(self._sql.rows, table, columns), {})

    def filled(self, statement: str, table: str, columns: Sequence[str] = ()) -> str:
        """Return a statement of `moving.sql` for a table."""
        if columns:
            expressions = self.expressions(table)
            statement = statement.replace("{values}", ", ".join(expressions[each] for each in columns))
            statement = statement.replace("{columns}", ", ".join(columns))
        order = TABLES[table].replace("{in_order}", self.revocation_order)
        return statement.replace("{table}", table).replace("{order}", order)

    def digest(self, table: str, columns: Sequence[str]) -> TableDigest:
        """Return the number of rows, and a digest of their values in the table's order: floats to their last bit."""
        hashed, number = sha256(), 0
        for row in self.rows(table, columns):
            hashed.update(repr(row).encode())
            number += 1
        return TableDigest(number, hashed.hexdigest())

    def is_empty(self) -> bool:
        """Return whether the log has no row that matters."""
        return not any(
            self.connection.execute(self.filled(self._sql.has_rows, table)).fetchone()[0]
            for table in TABLES
            if table != _MADE_AT_ONCE
        )

    def campaigns(self) -> list[str]:
        """Return the names of the log's campaigns."""
        return [row[0] for row in self.connection.execute(self._sql.names).fetchall()]

    def movements(self) -> Movements:
        """Return the notes of the log's moves."""
        return read_movements(self.connection, self._sql)

    def note(self, direction: Direction, movement: Movement) -> None:
        """Write a note, in place of an older one of its direction; guard the tables, or no longer, as it says."""
        self.connection.execute(self._sql.make_movements)
        note: dict[str, object] = {"direction": direction.value, "id": movement.id}
        note |= {"place": movement.place, "at": movement.at}
        note |= {"is_complete": movement.is_complete, "earlier": json.dumps(movement.earlier)}
        self.connection.execute(self._sql.note, note)
        if movement.is_complete is (direction is Direction.OUT):
            self.guard(guard_text(direction, movement))
        elif movement.is_complete:
            self.unguard()

    def row_at(self, table: str, number: int) -> dict[str, Any]:
        """Return the row at a place (from 1) of a table, by column."""
        columns = self.columns(table)
        found = self.connection.execute(self.filled(self._sql.row_at, table, columns), {"before": number - 1})
        row = found.fetchone()
        return dict(zip(columns, row, strict=True)) if row else {}

    def described(self, table: str, number: int) -> str:
        """Return what a row (from 1; 0: it is not known which) of a table is about, for a message."""
        if not number:
            return f"a row of the table {table}"
        row = self.row_at(table, number)
        spoilt = [name for name, value in row.items() if isinstance(value, str) and {"\0", "\ufffd"} & set(value)]
        delivery = row["id"] if table == "delivery" else row.get("delivery_id")
        found = self.connection.execute(self._sql.whose, {"id": delivery}).fetchone() if delivery else None
        if found:
            about = f"campaign {found[0]!r}, line {found[2]} of {found[1]}"
        elif (campaign := row["id"] if table == "campaign" else row.get("campaign_id")) is not None:
            named = self.connection.execute(self._sql.name_of, {"campaign": campaign}).fetchone()
            about = f"campaign {named[0]!r}" if named else f"campaign {campaign}"
        else:
            about = "of all campaigns"
        return f"row {number} of the table {table} ({about}{''.join(f', column {name}' for name in spoilt)})"
