"""Write a CSV's rows to the send log, all or none: `Enlister.enlist`, within one transaction per CSV."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from campaign.model import InvalidRow, Recipient
from campaign.sendlog.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A row's variables as JSON. The digest covers this text, so a new format would make every row count as changed.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
#: The number of rows that one INSERT adds.
_ROWS_PER_INSERT = 500


class _Record(NamedTuple):
    """A new row of the table `delivery`: the columns of the statement `add_deliveries`, in its order."""

    campaign: int
    enlistment: int
    source: str
    now: float
    key: str
    line: int
    email: str
    user_id: str | None
    domain: str = ""
    variables: str = "{}"
    digest: bytes = b""
    slot: str = ""
    state: str = "queued"
    reason: str = ""
    actor: str = "enlist"


@dataclass(slots=True)
class Enlistment:
    """The result of enlisting a CSV, in numbers of rows."""

    #: Rows (or groups) of the CSV that can be mailed.
    recipients: int = 0
    #: How many of them are new to the campaign.
    added: int = 0
    #: Rows not mailed yet whose address, user or variables have changed: the new data is used.
    changed: int = 0
    #: Rows already mailed (or perhaps mailed) whose data has changed: the new data is not used.
    changed_late: int = 0
    #: Invalid rows; the log has their reasons.
    invalid: int = 0
    #: Rows whose key an earlier row of the CSV has.
    duplicates: int = 0
    #: Addresses that occur under several keys: each key is mailed.
    shared_addresses: int = 0
    #: The CSV is identical to the one enlisted last, so it was not read again.
    unchanged: bool = False


class Enlister:
    """Writes one CSV's rows to the log, within a transaction that the caller opened."""

    def __init__(
        self, connection: sqlite3.Connection, *, campaign: int, enlistment: int, source: str, now: float
    ) -> None:
        self._connection = connection
        self._campaign = campaign
        self._enlistment = enlistment
        self._source = source
        self._common = (campaign, enlistment, source, now)
        #: No key was in the log so far. While this holds, insert without a search: the unique index reports the first
        #: known key.
        self._all_new = True
        self.result = Enlistment()

    def enlist(self, rows: Iterable[Recipient | InvalidRow]) -> None:
        """Add or update every row; rows of this CSV that were invalid before are removed first and checked again."""
        self._connection.execute(SQL.forget_unmailable, {"campaign": self._campaign, "source": self._source})
        iterator = iter(rows)
        while chunk := list(islice(iterator, _ROWS_PER_INSERT)):
            self._enlist_chunk(chunk)
        arguments = {"campaign": self._campaign, "enlistment": self._enlistment, "now": self._common[-1]}
        self._connection.execute(SQL.requeue_returned, arguments)
        counted = self._connection.execute(SQL.count_shared_addresses, arguments)
        self.result.shared_addresses = counted.fetchone()[0]

    def _enlist_chunk(self, chunk: list[Recipient | InvalidRow]) -> None:
        records = [
            self._record(row) if isinstance(row, Recipient) else self._unmailable(row, row.reason) for row in chunk
        ]
        if self._all_new and self._added(records):
            invalid = sum(isinstance(row, InvalidRow) for row in chunk)
            self.result.invalid += invalid
            self.result.recipients += len(chunk) - invalid
            self.result.added += len(chunk) - invalid
        else:
            self._all_new = False
            self._enlist_each(chunk, records)

    def _added(self, records: list[_Record]) -> bool:
        """Insert all rows and return True; insert none and return False if the table has one of their keys."""
        try:
            self._connection.execute(_adding(len(records)), list(chain.from_iterable(records)))
        except sqlite3.IntegrityError:
            return False
        return True

    def _enlist_each(self, chunk: list[Recipient | InvalidRow], records: list[_Record]) -> None:
        """Enlist rows whose keys may already be in the log."""
        known = self._known([row.key for row in chunk if isinstance(row, Recipient)])
        new: list[_Record] = []
        for row, record in zip(chunk, records, strict=True):
            if isinstance(row, InvalidRow):
                self.result.invalid += 1
                new.append(record)
                continue
            before = known.get(row.key)
            if before is None:
                self.result.recipients += 1
                self.result.added += 1
                new.append(record)
                known[row.key] = (0, self._enlistment, "queued", record.digest, row.line)
            elif before[1] == self._enlistment:
                self.result.duplicates += 1
                new.append(self._unmailable(row, f"duplicate: line {before[4]} has the same key"))
            else:
                self.result.recipients += 1
                self._update(record, before)
                known[row.key] = (before[0], self._enlistment, before[2], record.digest, row.line)
        self._connection.executemany(_adding(1), new)

    def _known(self, keys: list[str]) -> dict[str, tuple[int, int, str, bytes, int]]:
        arguments = {"campaign": self._campaign, "keys": json.dumps(keys)}
        rows = self._connection.execute(SQL.known_keys, arguments)
        return {row[0]: tuple(row[1:]) for row in rows}

    def _update(self, record: _Record, before: tuple[int, int, str, bytes, int]) -> None:
        number, _, state, digest, _ = before
        if digest != record.digest and state in {"queued", "failed", "skipped"}:
            self.result.changed += 1
            arguments = record._asdict() | {"id": number}
            self._connection.execute(SQL.change_delivery, arguments)
            if state == "skipped":
                self._connection.execute(SQL.requeue_changed, arguments)
            return
        self.result.changed_late += digest != record.digest
        arguments = {"id": number, "enlistment": self._enlistment, "line": record.line, "source": self._source}
        self._connection.execute(SQL.touch_delivery, arguments)

    def _record(self, row: Recipient) -> _Record:
        variables = _encode(row.variables)
        content = "\0".join((row.email, row.user_id or "", variables))
        domain = row.email.rpartition("@")[2].lower()
        digest = hashlib.blake2b(content.encode(), digest_size=12).digest()
        return _Record(*self._common, row.key, row.line, row.email, row.user_id, domain, variables, digest)

    def _unmailable(self, row: Recipient | InvalidRow, reason: str) -> _Record:
        slot, reason = f"line {row.line} of {self._source}", f"line {row.line}: {reason}"
        return _Record(
            *self._common, row.key, row.line, row.email, row.user_id, slot=slot, state="skipped", reason=reason
        )


@lru_cache(maxsize=3)
def _adding(number: int) -> str:
    """Return the INSERT for `number` rows. The cache has room for a full chunk, the last chunk and a single row."""
    row = ", ".join("?" * len(_Record._fields))
    return str(SQL.add_deliveries).replace("(:row)", ", ".join([f"({row})"] * number))
