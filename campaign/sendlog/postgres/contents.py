"""All rows of a send log in PostgreSQL, to be moved: `PostgresContents`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from psycopg import DataError, IntegrityError
from psycopg.errors import ProgramLimitExceeded

from campaign.sendlog.contents import TABLES, CountedRows, LogContents, UnfitRowError
from campaign.sendlog.postgres.faults import reason_of
from campaign.sendlog.postgres.statements import MOVING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from campaign.sendlog.postgres.connection import PostgresConnection
    from campaign.sendlog.postgres.database import PostgresDatabase

#: Columns that a file does not have: of several runs, and an order that SQLite keeps by itself.
_OWN_COLUMNS = {"delivery": {"worker_id", "fence"}, "revocation": {"worker_id", "number"}}
#: The tables whose ids the server counts.
_COUNTED = ("campaign", "delivery", "history", "orphan", "renewal")


class PostgresContents(LogContents):
    """`LogContents` in the schema `campaign` of a database.

    Args:
        database: the log.
        connection: as `PostgresDatabase.connect_to_move` returns it.
    """

    revocation_order = "number"

    def __init__(self, database: PostgresDatabase, connection: PostgresConnection) -> None:
        super().__init__(connection, MOVING)
        self._database = database
        self._session = connection

    @property
    def exists(self) -> bool:
        """Whether there are tables."""
        return self._database.version(self._session) is not None

    def make_current(self) -> None:
        """Make the tables if there are none, and migrate those of an older version."""
        self._database.make_current(self._session)

    def clear(self) -> None:
        """Empty the tables, which stay with the rights that were granted on them."""
        self.unguard()
        self._session.execute(MOVING.forget_movements)
        self._session.execute(MOVING.empty.replace("{tables}", ", ".join(TABLES)))

    def add(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add rows with COPY."""
        counted = CountedRows(rows)
        try:
            self._session.copy(self.filled(MOVING.add, table, columns), counted)
        except (DataError, IntegrityError, ProgramLimitExceeded) as error:
            number = counted.number
            if error.sqlstate is not None:  # the server reads behind
                found = re.search(r"COPY \w+\D+(\d+)", error.diag.context or "")
                number = int(found[1]) if found else 0
            raise UnfitRowError(table, number, reason_of(error)) from error

    def settle(self) -> None:
        """Let the server's ids continue after those that were added, and its planner know the rows."""
        for table in _COUNTED:
            self._session.execute(self.filled(MOVING.continue_ids, table))
        self._session.execute(MOVING.analyze.replace("{tables}", ", ".join(TABLES)))

    def guard(self, text: str) -> None:
        """Let every table refuse changes with these words."""
        literal = "'" + text.replace("'", "''") + "'"
        for table in TABLES:
            self._session.execute(self.filled(MOVING.guard, table).replace("{text}", literal))

    def unguard(self) -> None:
        """Let the tables take changes again."""
        for table in TABLES:
            self._session.execute(self.filled(MOVING.unguard, table))

    def expressions(self, table: str) -> dict[str, str]:
        """Return the columns that a file has, too, each with the expression that reads it as SQLite does."""
        found = self._session.execute(MOVING.columns, {"table": f"campaign.{table}"}).fetchall()
        own = _OWN_COLUMNS.get(table, set())
        return {name: expression for name, expression in found if name not in own}
