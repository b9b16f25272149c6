"""Fill every table and column of a SQLite send log with values that a copy could spoil: `fill`, `contents`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from campaign.model import Status
from campaign.sendlog import SendLog
from campaign.sendlog.backends import contents_of, database_of
from campaign.sendlog.contents import TABLES
from support.fake_clock import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.sendlog import LogLocation
    from campaign.sendlog.contents import TableDigest

#: Texts, numbers and bytes at the edges of what both databases hold.
TEXTS = (
    "",
    "\\N",
    "\\.",
    "a\tb\r\nc\\",
    "'; DROP TABLE delivery; --",
    '{"a": "\\u0000"}',
    "日本 \U0001f600 \u2028",
    "\x7f\x1b[0m",
)
FLOATS = (0.0, 0.1, 1e-308, 5e-324, 1.7976931348623157e308, float("inf"), -1.5, 1_700_000_000.123456, 2.0**53 + 2)
INTEGERS = (0, 1, -1, 2**31 - 1, -(2**31))
BLOBS = (b"", b"\0", bytes(range(256)))
#: Columns whose values are few.
_OF_FEW: dict[tuple[str, str], tuple[Any, ...]] = {
    ("delivery", "state"): tuple(map(str, Status)),
    ("revocation", "outcome"): ("revoked", "unknown", "used", None),
    ("user_creation", "outcome"): ("created", "found", "refused", None),
    ("batch", "is_limited"): (0, 1),
}
CAMPAIGNS = (1, 7)
_ROWS = 24


def fill(path: Path, *, rows: int = _ROWS) -> None:
    """Make a log with several campaigns, and rows in every table and state."""
    SendLog(path, "first", FakeClock()).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM campaign")
        connection.execute("DELETE FROM tag_key")
        for table in TABLES:
            columns = [Column(*about) for about in connection.execute(f"PRAGMA table_info({table})")]
            for number in range(1, (len(CAMPAIGNS) if table == "campaign" else rows) + 1):
                row = {each.name: _value(table, each, number) for each in columns}
                names, places = ", ".join(row), ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(row.values()))  # noqa: S608
        connection.commit()


class Column(NamedTuple):
    """A column, as SQLite tells it."""

    number: int
    name: str
    kind: str
    is_required: int
    default: object
    key: int


def _value(table: str, column: Column, number: int) -> Any:  # noqa: ANN401 - whatever the column takes
    """Return the value of a column in the row with a number (from 1)."""
    if few := _OF_FEW.get((table, column.name)):
        return few[number % len(few)]
    if column.name == "id" and column.kind == "INTEGER":
        return CAMPAIGNS[number - 1] if table == "campaign" else 3 * number
    if column.name == "campaign_id":
        return CAMPAIGNS[number % len(CAMPAIGNS)]
    if column.key or (table, column.name) in {("campaign", "name"), ("delivery", "key")}:
        return {"TEXT": f"{number} {TEXTS[number % len(TEXTS)]}", "REAL": number / 7, "INTEGER": number}[column.kind]
    if not column.is_required and number % 5 == 0:
        return None
    values: tuple[Any, ...] = {"TEXT": TEXTS, "REAL": FLOATS, "INTEGER": INTEGERS, "BLOB": BLOBS}[column.kind]
    return values[(number + len(column.name)) % len(values)]


def contents(log: LogLocation) -> dict[str, TableDigest]:
    """Return the number of rows and the digest of each table."""
    found = contents_of(database_of(log))
    with closing(found.connection) as connection:
        connection.begin()
        return {table: found.digest(table, found.columns(table)) for table in TABLES}
