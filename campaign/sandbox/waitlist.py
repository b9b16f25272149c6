"""Store Clerk's waitlist in the database: addresses that want to sign up: `Waitlist`. An entry is not a user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.sandbox.identifiers import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from campaign.sandbox.database import Database


#: The people on a waitlist to try, in the order in which they joined, a day after each other: one is a user already,
#: one was invited, and Clerk refuses to make a user for one.
ALREADY_A_USER = "grace@example.com"
_INVITED = "alan@example.com"
_SAMPLE = (
    "ada@example.com",
    ALREADY_A_USER,
    "edsger@example.com",
    _INVITED,
    "barbara@example.com",
    "niklaus@example.com",
    "frances+nouser@example.com",
    "tony@example.com",
    "radia@example.com",
    "leslie@example.com",
    "donald@example.com",
    "margaret@example.com",
)
_DAY_MS = 24 * 60 * 60 * 1000
#: The orders that Clerk knows, with those that the sandbox serves.
ORDERS = {
    "created_at": "created_at, number",
    "updated_at": "updated_at, number",
    "email_address": "folded",
}


@dataclass(frozen=True, slots=True)
class WaitlistEntry:
    """One address on the waitlist; the status is `pending`, `invited`, `completed` or `rejected`."""

    id: str
    address: str
    status: str
    created_at: int
    updated_at: int


class Waitlist:
    """The waitlist's entries, one per address."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, address: str) -> WaitlistEntry:
        """Return the entry of an address; create it if there is none."""
        moment = self._database.now()
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO waitlist_entries (id, address, folded, status, created_at, updated_at)"
                " VALUES (?, ?, ?, 'pending', ?, ?)",
                (new_id("wle"), address, address.lower(), moment, moment),
            )
            row = connection.execute("SELECT * FROM waitlist_entries WHERE folded = ?", (address.lower(),)).fetchone()
        return _entry(row)

    def fill(self) -> bool:
        """Put the imaginary people on an empty waitlist; return whether it was empty."""
        moment = self._database.now()
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM waitlist_entries LIMIT 1").fetchone():
                return False
            for days, address in enumerate(reversed(_SAMPLE), 1):
                joined = moment - days * _DAY_MS
                status = "invited" if address == _INVITED else "pending"
                connection.execute(
                    "INSERT INTO waitlist_entries (id, address, folded, status, created_at, updated_at)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (new_id("wle"), address, address.lower(), status, joined, joined),
                )
        return True

    def find(
        self,
        *,
        status: str | None = None,
        order: str = "created_at",
        descending: bool = True,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[WaitlistEntry]:
        """Return entries, by default the newest first, optionally only those with this status."""
        columns = ORDERS[order].split(", ")
        by = ", ".join(f"{column} DESC" if descending else column for column in columns)
        return [
            _entry(row)
            for row in self._database.all(
                f"SELECT * FROM waitlist_entries WHERE ?1 IS NULL OR status = ?1 ORDER BY {by} LIMIT ?2 OFFSET ?3",  # noqa: S608 - the columns are ours
                status,
                limit,
                offset,
            )
        ]

    def count(self, *, status: str | None = None) -> int:
        """Return the number of entries, optionally only those with this status."""
        row = self._database.one("SELECT count(*) FROM waitlist_entries WHERE ?1 IS NULL OR status = ?1", status)
        return int(row[0]) if row else 0

    def move(self, entry_id: str, *, status: str) -> WaitlistEntry | None:
        """Set the entry's status and return the entry, or None if there is no such entry."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE waitlist_entries SET status = ?, updated_at = ? WHERE id = ?",
                (status, self._database.now(), entry_id),
            )
            row = connection.execute("SELECT * FROM waitlist_entries WHERE id = ?", (entry_id,)).fetchone()
        return None if row is None else _entry(row)


def _entry(row: sqlite3.Row) -> WaitlistEntry:
    return WaitlistEntry(row["id"], row["address"], row["status"], row["created_at"], row["updated_at"])
