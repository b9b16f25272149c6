"""A connection to a send log in PostgreSQL, as the classes of the send log use it: `PostgresConnection`."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from psycopg.errors import UniqueViolation
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper

from campaign.sendlog.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from psycopg import Connection, Cursor

#: The key of the lock that a transaction holds which writes: "CAMP" in ASCII, and 1 for the log.
_WRITING = 0x43414D50_00000001
#: How many rows a stream asks for at a time.
_PAGE = 5000


class PostgresConnection:
    """`LogConnection` in PostgreSQL.

    Args:
        connection: in autocommit mode, with the schema `campaign` in its search path; it is closed with this object.
    """

    sql = SQL
    #: COPY costs one round trip for so many rows; `known_keys` looks up as many.
    rows_at_once = 5000

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._streams = count(1)
        # Without it an int has the smallest type that holds it, and a statement is prepared anew for each type.
        connection.adapters.register_dumper(int, Int8Dumper)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, or has failed and waits for its end."""
        return self._connection.info.transaction_status in {
            TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR
        }  # fmt: skip

    def execute(self, statement: str, parameters: Mapping[str, object] | None = None, /) -> Cursor[Any]:
        """Execute a statement with named parameters; its rows are all fetched at once."""
        return self._connection.execute(statement, parameters)

    def executemany(self, statement: str, rows: Iterable[Mapping[str, object]], /) -> Cursor[Any]:
        """Execute a statement once for each row of named parameters, without waiting for each answer."""
        cursor = self._connection.cursor()
        cursor.executemany(statement, rows)
        return cursor

    def stream(self, statement: str, parameters: Mapping[str, object], /) -> Iterator[Any]:
        """Yield the rows of a statement in bounded memory; other statements may be executed meanwhile.

        Without an open transaction it opens one that only reads, until the last row is read or the iterator is closed.
        """
        is_own = not self.in_transaction
        if is_own:
            self._connection.execute("BEGIN READ ONLY")
        try:
            with self._connection.cursor(name=f"stream_{next(self._streams)}") as cursor:
                cursor.itersize = _PAGE
                yield from cursor.execute(statement, parameters)
        finally:
            if is_own and not self._connection.closed:
                self.rollback()

    def begin(self) -> None:
        """Open a transaction that writes, as the only one: what it reads stays as it was."""
        self._connection.execute(f"BEGIN; SELECT pg_advisory_xact_lock({_WRITING})")

    def begin_snapshot(self) -> None:
        """Open a transaction that reads: its statements see the log as it was at the first one."""
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def commit(self) -> None:
        """Make the transaction's writes durable."""
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Take the transaction's writes back."""
        self._connection.execute("ROLLBACK")

    def add_new(
        self, common: Mapping[str, object], columns: Sequence[str], rows: Sequence[Sequence[object]], /
    ) -> bool:
        """Add rows with COPY, which adds all or none; False: the unique index has found one of them."""
        self._connection.execute("SAVEPOINT add_new")
        try:
            self.add(common, columns, rows)
        except UniqueViolation:
            self._connection.execute("ROLLBACK TO SAVEPOINT add_new")
            return False
        self._connection.execute("RELEASE SAVEPOINT add_new")
        return True

    def add(self, common: Mapping[str, object], columns: Sequence[str], rows: Sequence[Sequence[object]], /) -> None:
        """Add rows with COPY, in their order."""
        statement = SQL.add_deliveries.replace("{columns}", ", ".join((*common, *columns)))
        values = tuple(common.values())
        with self._connection.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row((*values, *row))

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        self._connection.close()
