"""Recipients into the send log: one transaction per CSV, all rows or none. Nothing here reads the CSV itself."""

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

#: A row's variables as text. The digest covers this text, so a change of it would make every row a changed one.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
#: Rows that one statement adds.
_ROWS_PER_INSERT = 500


class _Record(NamedTuple):
    """A row of the table `delivery` as it is enlisted: the columns of `add_deliveries`, in its order."""

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
    """What reading a CSV into the log did, in numbers of rows."""

    #: Rows (or groups) of the CSV that can be mailed.
    recipients: int = 0
    #: Of these, new to the campaign.
    added: int = 0
    #: Rows not mailed yet whose address or variables are others than before: they apply.
    changed: int = 0
    #: Rows mailed (or perhaps mailed) already whose data changed since: the change comes too late.
    changed_late: int = 0
    #: Rows that cannot be used, with their reason in the log.
    invalid: int = 0
    #: Further rows of a key that the CSV already had.
    duplicates: int = 0
    #: Addresses that stand under several keys: each key is mailed.
    shared_addresses: int = 0
    #: The CSV is the one enlisted last, to the byte; it was not read again.
    unchanged: bool = False


class Enlister:
    """Brings one CSV's rows into the log, inside a transaction that the caller opened."""

    def __init__(
        self, connection: sqlite3.Connection, *, campaign: int, enlistment: int, source: str, now: float
    ) -> None:
        self._connection = connection
        self._campaign = campaign
        self._enlistment = enlistment
        self._source = source
        self._common = (campaign, enlistment, source, now)
        #: No key was known so far: then the table itself tells of the first that is, and none is searched for.
        self._all_new = True
        self.result = Enlistment()

    def enlist(self, rows: Iterable[Recipient | InvalidRow]) -> None:
        """Add, touch or change every row; what could not be mailed before is judged anew."""
        self._connection.execute(SQL.forget_unmailable, {"campaign": self._campaign, "source": self._source})
        iterator = iter(rows)
        while chunk := list(islice(iterator, _ROWS_PER_INSERT)):
            self._enlist_chunk(chunk)
        arguments = {"campaign": self._campaign, "enlistment": self._enlistment}
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
        """Add all of the rows, or none where the table knows one of their keys."""
        try:
            self._connection.execute(_adding(len(records)), list(chain.from_iterable(records)))
        except sqlite3.IntegrityError:
            return False
        return True

    def _enlist_each(self, chunk: list[Recipient | InvalidRow], records: list[_Record]) -> None:
        """Enlist rows whose keys may be known already."""
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
    """Return the statement that adds so many rows; a full chunk, the last one and a single row are what it takes."""
    row = ", ".join("?" * len(_Record._fields))
    return str(SQL.add_deliveries).replace("(:row)", ", ".join([f"({row})"] * number))
