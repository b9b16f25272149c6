"""Group rows with the same key into one recipient: `grouped`. A temporary SQLite database stores the rows."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from contextlib import closing
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaign.errors import RecipientsError
from campaign.model import InvalidRow, Recipient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Characters that the rows of one group may have together: a group is kept in memory and mailed as one message.
_MAX_GROUP_BYTES = 4_000_000
_ROWS_PER_INSERT = 1000
_ROWS = "CREATE TABLE rows (line INTEGER PRIMARY KEY, key TEXT NOT NULL, row TEXT NOT NULL)"
_PLACES = "CREATE TABLE places (place INTEGER PRIMARY KEY, first INTEGER NOT NULL, line INTEGER NOT NULL)"
# SQLite sorts only keys and line numbers: in memory up to its cache size, above that in temporary files.
_SORT = """
    INSERT INTO places (first, line)
    SELECT min(line) OVER (PARTITION BY key) AS first, line FROM rows ORDER BY first, line
"""
_IN_ORDER = "SELECT first, row FROM places JOIN rows USING (line) ORDER BY place"


def grouped(rows: Iterable[Recipient | InvalidRow], name: str) -> Iterator[Recipient | InvalidRow]:
    """Yield one recipient per key, in the order of the keys' first rows; its variable `name` is the list of its rows.

    A column whose value is equal in all rows of a group stays a variable; the other columns are only in the list. A
    group with an invalid row, or with two addresses or user ids, becomes one `InvalidRow`.

    Raises:
        RecipientsError: the temporary database fails, for example on a full disk; also raised by `rows`.
    """
    # The folder has mode 0700, since the file contains addresses.
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        try:
            # the preview reads on in whichever thread answers a request, one at a time
            spool_file = Path(folder) / "rows.db"
            with closing(sqlite3.connect(spool_file, isolation_level=None, check_same_thread=False)) as spool:
                yield from _through(spool, rows, name)
        except sqlite3.Error as error:
            raise RecipientsError(
                f"{folder}: the rows cannot be sorted into groups: {error}. Free disk space there, or set TMPDIR to a"
                " folder on another disk."
            ) from None


def _through(
    spool: sqlite3.Connection, rows: Iterable[Recipient | InvalidRow], name: str
) -> Iterator[Recipient | InvalidRow]:
    for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", _ROWS, _PLACES, "BEGIN"):
        spool.execute(statement)
    source = iter(rows)
    while batch := [(row.line, row.key or f"\n{row.line}", _packed(row)) for row in islice(source, _ROWS_PER_INSERT)]:
        spool.executemany("INSERT INTO rows VALUES (?, ?, ?)", batch)
    spool.execute(_SORT)
    for _, group in groupby(spool.execute(_IN_ORDER), key=itemgetter(0)):
        yield _one(group, name)


def _one(group: Iterator[tuple[int, str]], name: str) -> Recipient | InvalidRow:
    """Return the recipient for the rows of one key, or an invalid row."""
    members: list[Recipient] = []
    fault: str | None = None
    first: Recipient | InvalidRow | None = None
    size = 0
    for _, packed in group:
        row = _unpacked(packed)
        first = first or row
        size += len(packed)
        fault = fault or _fault(first, row, size)
        if fault is None and isinstance(row, Recipient):
            members.append(row)
    assert first is not None  # noqa: S101 - groupby yields no empty group
    if fault is not None:
        return InvalidRow(first.key, first.email, first.user_id, fault, first.line)
    shared = {
        column: value
        for column, value in members[0].variables.items()
        if all(member.variables[column] == value for member in members)
    }
    shared["email"] = first.email
    return members[0]._replace(variables=shared | {name: [dict(member.variables) for member in members]})


def _fault(first: Recipient | InvalidRow, row: Recipient | InvalidRow, size: int) -> str | None:
    """Return why a group that includes `row` cannot be mailed, or None."""
    if isinstance(row, InvalidRow):
        return row.reason if row is first else f"Line {row.line} is in the same group: {row.reason}"
    if row.email.lower() != first.email.lower():
        return f"The rows on line {first.line} and line {row.line} have the same key, but different addresses."
    if row.user_id != first.user_id:
        return f"The rows on line {first.line} and line {row.line} have the same key, but different user_ids."
    if size > _MAX_GROUP_BYTES:
        return f"The rows with this key have more than {_MAX_GROUP_BYTES:,} characters; is it the right key?"
    return None


def _packed(row: Recipient | InvalidRow) -> str:
    rest: Any = row.variables if isinstance(row, Recipient) else row.reason
    return json.dumps((row.key, row.email, row.user_id, rest, row.line), ensure_ascii=False)


def _unpacked(text: str) -> Recipient | InvalidRow:
    key, email, user_id, rest, line = json.loads(text)
    if isinstance(rest, str):
        return InvalidRow(key, email, user_id, rest, line)
    return Recipient(key, email, user_id, rest, line)
