"""A connection to a send log in PostgreSQL, as the classes of the send log use it: `PostgresConnection`."""

from __future__ import annotations

import socket as sockets
from contextlib import suppress
from itertools import count, islice
from os import dup
from select import POLLIN, poll
from socket import AF_UNIX, IPPROTO_TCP, socket
from typing import TYPE_CHECKING, Any

from psycopg.errors import OperationalError, UniqueViolation
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper

from campaign.sendlog.postgres.many_rows import FOR_MANY
from campaign.sendlog.postgres.pipeline import StatementPipeline
from campaign.sendlog.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from psycopg import Connection

    from campaign.sendlog.database import LogChanges, LogCursor

#: The keys of the locks of a transaction that writes, of a run, and of transactions that prepare campaigns: "CAMP" in
#: ASCII, and a number.
_WRITING, _RUNNING, _PREPARING = (0x43414D50_00000000 + number for number in (1, 2, 3))
#: The first key of the lock of a campaign's rows ("CAMC" in ASCII); the second one is its id.
_CAMPAIGN = 0x43414D43
#: How many rows a stream asks for at a time.
_PAGE = 5000


#: The options by which a connection to a silent server is lost, by libpq's keywords; those that this system has.
TCP_OPTIONS = {
    keyword: getattr(sockets, name)
    for keyword, name in (
        ("tcp_user_timeout", "TCP_USER_TIMEOUT"),
        ("keepalives_idle", "TCP_KEEPIDLE"),
        ("keepalives_interval", "TCP_KEEPINTVL"),
    )
    if hasattr(sockets, name)
}


class Changes:
    """The result of statements that changed rows, and returned none."""

    def __init__(self, cursors: Sequence[LogChanges]) -> None:
        self._cursors = cursors

    @property
    def rowcount(self) -> int:
        """How many they changed, all of them together."""
        return sum(each.rowcount for each in self._cursors)


class PostgresConnection:
    """`LogConnection` in PostgreSQL.

    Args:
        connection: in autocommit mode, with the schema `campaign` in its search path; it is closed with this object.
        process_id: the server's process that has the session.
    """

    sql = SQL
    #: COPY costs one round trip for so many rows; `known_keys` looks up as many.
    rows_at_once = 5000
    rows_per_part = 5000

    def __init__(self, connection: Connection[Any], process_id: int) -> None:
        self._connection = connection
        self._process_id = process_id
        self._pipeline = StatementPipeline(connection)
        self._streams = count(1)
        #: What took the lock of the transaction that is open, if it writes.
        self._lock: LogCursor | None = None
        # Without it an int has the smallest type that holds it, and a statement is prepared anew for each type.
        connection.adapters.register_dumper(int, Int8Dumper)

    @property
    def is_open(self) -> bool:
        """Whether the session is there: a server that ended it has said so."""
        with suppress(OperationalError):  # at the end of the stream, after what the server said last
            while not self._connection.closed and _has_input(self._connection.fileno()):
                self._connection.pgconn.consume_input()
        return not self._connection.closed

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, or has failed and waits for its end."""
        return self._connection.info.transaction_status in {
            TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR
        }  # fmt: skip

    def execute(self, statement: str, parameters: Mapping[str, object] | None = None, /) -> LogCursor:
        """Execute a statement with named parameters; its rows are all fetched at once."""
        if self._pipeline.is_open:
            return self._pipeline.execute(statement, parameters or {})
        if statement.startswith("ROLLBACK"):  # psycopg would have the server forget the pipeline's statements
            with self._pipeline.collecting():
                return self._pipeline.execute(statement, parameters or {})
        return self._connection.execute(statement, parameters)

    def executemany(self, statement: str, rows: Iterable[Mapping[str, object]], /) -> Changes:
        """Execute a statement for each row of named parameters: for all at once, or without waiting for each answer."""
        many = FOR_MANY.get(statement)
        if many is None and self._pipeline.is_open:
            return Changes([self.execute(statement, row) for row in rows])
        if many is None:
            cursor = self._connection.cursor()
            cursor.executemany(statement, rows)
            return Changes([cursor])
        iterator, cursors = iter(rows), []
        while some := list(islice(iterator, self.rows_at_once)):
            cursors.append(self.execute(many.text, many.arrays(some)))
        return Changes(cursors)

    def stream(self, statement: str, parameters: Mapping[str, object], /) -> Iterator[Any]:
        """Yield the rows of a statement in bounded memory; other statements may be executed meanwhile.

        Outside of a transaction the server keeps all rows until they are read (WITH HOLD).
        """
        name, is_kept = f"stream_{next(self._streams)}", not self.in_transaction
        cursor = self._connection.cursor(name=name, withhold=is_kept)
        cursor.itersize = _PAGE
        try:
            for row in cursor.execute(statement, parameters):  # noqa: UP028 - `yield from` closes the cursor, too
                yield row
        finally:
            try:
                cursor.close()
            except OperationalError:  # the session has ended, and the cursor with it; the next statement says so
                cursor.close()

    def pipeline(self) -> AbstractContextManager[object]:
        """Send the statements of the block when one of their results is read, or at its end."""
        return self._pipeline.collecting()

    def try_to_hold(self, *, is_shared: bool = False) -> bool:
        """Take the lock of a run for this session; return False if another session has it.

        Args:
            is_shared: other sessions may have it, too, if they share it.
        """
        row = self.execute(SQL.share_log if is_shared else SQL.hold_log, {"number": _RUNNING}).fetchone()
        return bool(row and row[0])

    @property
    def is_lost(self) -> bool:
        """Whether the session has ended."""
        return self._connection.closed

    def replace(self, fresh: PostgresConnection) -> None:
        """Go on with another session, after this one was lost."""
        self._connection.close()
        self._connection, self._process_id = fresh._connection, fresh._process_id
        self._pipeline = fresh._pipeline

    # Who waits for whom. A transaction takes its locks in one order: preparations, a campaign's rows, writing; so that
    # what waits long, for a preparation, keeps no other campaign from writing meanwhile.

    def begin(self) -> None:
        """Open a transaction that writes, as the only one: what it reads stays as it was."""
        self._begin(SQL.lock_for_all)

    def begin_preparing(self, campaign: int) -> None:
        """Open a transaction that writes one campaign's rows: beside it others may prepare or send other campaigns."""
        self._begin(SQL.lock_for_preparation, campaign)

    def begin_short(self) -> None:
        """Open a short transaction that writes: beside it others may prepare campaigns, none may send.

        What it writes may be no row of a campaign that is prepared.
        """
        self._begin(SQL.lock_for_short)

    def begin_group(self, campaign: int, *, alone: bool = False) -> None:
        """Open a transaction that changes the rows of one run only: others of this kind may be open.

        Args:
            campaign: the run's; nothing prepares it meanwhile.
            alone: no other run of any campaign writes meanwhile.
        """
        self._begin(SQL.lock_for_group_alone if alone else SQL.lock_for_group, campaign)

    def _begin(self, statement: str, campaign: int = 0) -> None:
        keys = {"preparing": _PREPARING, "kind": _CAMPAIGN, "campaign": campaign, "writing": _WRITING}
        self.execute(SQL.begin)
        self._lock = self.execute(statement, keys)

    def set_tcp_options(self, values: Mapping[str, int]) -> None:
        """Set options of the connection's socket, by libpq's keywords in `TCP_OPTIONS`; a local socket has none."""
        with socket(fileno=dup(self._connection.fileno())) as copy, suppress(OSError):  # it may be lost already
            if copy.family != AF_UNIX:
                for keyword, value in values.items():
                    copy.setsockopt(IPPROTO_TCP, TCP_OPTIONS[keyword], value)

    def server_time(self) -> float:
        """Return the time by the server's clock (seconds since the epoch)."""
        row = self.execute(SQL.server_time).fetchone()
        assert row is not None  # noqa: S101 - the statement always has one
        return float(row[0])

    def begin_snapshot(self) -> None:
        """Open a transaction that reads: its statements see the log as it was at the first one."""
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def commit(self) -> None:
        """Make the transaction's writes durable.

        Raises:
            psycopg.OperationalError: the transaction is not in this session; it then does not have the run's lock.
        """
        lock, self._lock = self._lock, None
        row = lock.fetchone() if lock else None
        if lock and (row is None or row[0] != self._process_id):
            raise OperationalError("a pooler gave the transaction another session")
        self.execute("COMMIT")

    def rollback(self) -> None:
        """Take the transaction's writes back."""
        self.execute("ROLLBACK")

    def add_new(
        self, common: Mapping[str, object], columns: Sequence[str], rows: Sequence[Sequence[object]], /
    ) -> bool:
        """Add rows with COPY, which adds all or none; False: the unique index has found one of them."""
        self._connection.execute("SAVEPOINT add_new")
        try:
            self.add(common, columns, rows)
        except UniqueViolation:
            self.execute("ROLLBACK TO SAVEPOINT add_new")
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

    def copy(self, statement: str, rows: Iterable[Sequence[object]], /) -> None:
        """Add rows of any table with COPY, in their order."""
        with self._connection.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def analyze(self) -> None:
        """Let the planner know the rows that were added; the server does so by itself, but minutes later."""
        self._connection.execute(SQL.analyze)

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        self._connection.close()


def _has_input(descriptor: int) -> bool:
    polling = poll()
    polling.register(descriptor, POLLIN)
    return bool(polling.poll(0))
