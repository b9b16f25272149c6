"""Recipients into the send log: one transaction per CSV, all rows or none. Nothing here reads the CSV itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from campaign.model import InvalidRow, Recipient
from campaign.sendlog.statements import SQL

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_CHUNK = 500


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
        self._enlistment = enlistment
        self._common: dict[str, Any] = {"campaign": campaign, "enlistment": enlistment, "source": source, "now": now}
        self.result = Enlistment()

    def enlist(self, rows: Iterable[Recipient | InvalidRow]) -> None:
        """Add, meet or change every row; what could not be mailed before is judged anew."""
        self._connection.execute(SQL.forget_unmailable, self._common)
        iterator = iter(rows)
        while chunk := list(islice(iterator, _CHUNK)):
            self._enlist_chunk(chunk)
        counted = self._connection.execute(SQL.count_shared_addresses, self._common)
        self.result.shared_addresses = counted.fetchone()[0]

    def _enlist_chunk(self, chunk: list[Recipient | InvalidRow]) -> None:
        known = self._known([row.key for row in chunk if isinstance(row, Recipient)])
        new: list[dict[str, Any]] = []
        for row in chunk:
            if isinstance(row, InvalidRow):
                self.result.invalid += 1
                new.append(self._unmailable(row, row.reason))
                continue
            record = self._record(row)
            before = known.get(row.key)
            if before is None:
                self.result.recipients += 1
                self.result.added += 1
                new.append(record)
                known[row.key] = (0, self._enlistment, "queued", record["digest"], row.line)
            elif before[1] == self._enlistment:
                self.result.duplicates += 1
                new.append(self._unmailable(row, f"duplicate: line {before[4]} has the same key"))
            else:
                self.result.recipients += 1
                self._meet(record, before)
                known[row.key] = (
                    before[0],
                    self._enlistment,
                    before[2],
                    record["digest"],
                    row.line,
                )
        self._connection.executemany(SQL.add_delivery, new)

    def _known(self, keys: list[str]) -> dict[str, tuple[int, int, str, bytes, int]]:
        rows = self._connection.execute(SQL.known_keys, self._common | {"keys": json.dumps(keys)})
        return {row[0]: tuple(row[1:]) for row in rows}

    def _meet(self, record: dict[str, Any], before: tuple[int, int, str, bytes, int]) -> None:
        number, _, state, digest, _ = before
        record["id"] = number
        if digest == record["digest"]:
            self._connection.execute(SQL.meet_delivery, record)
        elif state in {"queued", "failed", "skipped"}:
            self.result.changed += 1
            self._connection.execute(SQL.change_delivery, record)
            if state == "skipped":
                self._connection.execute(SQL.requeue_changed, record)
        else:
            self.result.changed_late += 1
            self._connection.execute(SQL.meet_delivery, record)

    def _record(self, row: Recipient) -> dict[str, Any]:
        variables = json.dumps(row.variables, ensure_ascii=False, separators=(",", ":"))
        content = "\0".join((row.email, row.user_id or "", variables))
        return self._common | {
            "key": row.key,
            "slot": "",
            "line": row.line,
            "email": row.email,
            "domain": row.email.rpartition("@")[2].lower(),
            "user_id": row.user_id,
            "variables": variables,
            "digest": hashlib.blake2b(content.encode(), digest_size=12).digest(),
            "state": "queued",
            "reason": "",
        }

    def _unmailable(self, row: Recipient | InvalidRow, reason: str) -> dict[str, Any]:
        return self._common | {
            "key": row.key,
            "slot": f"line {row.line} of {self._common['source']}",
            "line": row.line,
            "email": row.email,
            "domain": "",
            "user_id": row.user_id,
            "variables": "{}",
            "digest": b"",
            "state": "skipped",
            "reason": f"line {row.line}: {reason}",
        }
