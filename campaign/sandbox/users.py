"""Store the users of the sandbox's Clerk in the database: `Users`. Their JSON: `backend_users.py`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from campaign.sandbox.fates import fate_of
from campaign.sandbox.identifiers import id_from, new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from campaign.sandbox.database import Database

#: The batch size of `learn`: people per transaction.
_PEOPLE_PER_TRANSACTION = 2000


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """One email address of a user."""

    id: str
    address: str
    #: Milliseconds since the epoch, like all of Clerk's instants.
    created_at: int


@dataclass(frozen=True, slots=True)
class User:
    """A user of Clerk."""

    id: str
    addresses: tuple[EmailAddress, ...]
    banned: bool
    locked: bool
    #: The fields that were given to `POST /v1/users` beside the addresses.
    profile: Mapping[str, Any]
    created_at: int
    updated_at: int
    last_sign_in_at: int | None


class Users:
    """Clerk's users. Addresses are compared case-insensitively."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def learn(self, people: Iterable[tuple[str | None, str]]) -> None:
        """Add these people, (user id, address) each, subject to the fates of their addresses.

        If the user id is None, a user is created for the address, unless it already has one. If the user
        exists, the address is added to the user's other addresses.
        """
        remaining = iter(people)
        while chunk := list(islice(remaining, _PEOPLE_PER_TRANSACTION)):
            moment = self._database.now()
            with self._database.transaction() as connection:
                known = [(user, address) for user, address in _as_clerk_knows(connection, chunk)]
                connection.executemany(
                    "INSERT OR IGNORE INTO users (id, banned, locked, created_at, updated_at) VALUES (?, ?, ?, ?, ?)",
                    ((user, (fate := fate_of(address)).banned, fate.locked, moment, moment) for user, address in known),
                )
                connection.executemany(
                    "INSERT OR IGNORE INTO email_addresses (user_id, address, folded, created_at) VALUES (?, ?, ?, ?)",
                    ((user, address, address.lower(), moment) for user, address in known),
                )

    def create(self, addresses: Sequence[str], profile: Mapping[str, Any]) -> User | None:
        """Return a new user with these addresses, or None if one of them already belongs to a user."""
        user_id, moment = new_id("user"), self._database.now()
        fates = [fate_of(address) for address in addresses]
        with self._database.transaction() as connection:
            for address in addresses:
                if _owner(connection, address) is not None:
                    return None
            connection.execute(
                "INSERT INTO users (id, banned, locked, profile, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    user_id,
                    any(fate.banned for fate in fates),
                    any(fate.locked for fate in fates),
                    json.dumps(profile),
                    moment,
                    moment,
                ),
            )
            connection.executemany(
                "INSERT INTO email_addresses (user_id, address, folded, created_at) VALUES (?, ?, ?, ?)",
                ((user_id, address, address.lower(), moment) for address in addresses),
            )
        return self.get(user_id)

    def get(self, user_id: str) -> User | None:
        """Return the user with this id."""
        return next(iter(self.find(ids=[user_id], limit=1)), None)

    def find(
        self, *, ids: Sequence[str] = (), addresses: Sequence[str] = (), limit: int = 10, offset: int = 0
    ) -> list[User]:
        """Return users, newest first, optionally filtered by id and by address."""
        where, values = _condition(ids, addresses)
        rows = self._database.all(
            f"SELECT * FROM users{where} ORDER BY created_at DESC, number DESC LIMIT ? OFFSET ?",  # noqa: S608 - bound
            *values,
            limit,
            offset,
        )
        found = {row["id"]: list[EmailAddress]() for row in rows}
        for row in self._database.all(
            f"SELECT * FROM email_addresses WHERE user_id IN ({_marks(found)}) ORDER BY number",  # noqa: S608 - bound
            *found,
        ):
            found[row["user_id"]].append(
                EmailAddress(id_from("idn", str(row["number"])), row["address"], row["created_at"])
            )
        return [_user(row, found[row["id"]]) for row in rows]

    def count(self, *, ids: Sequence[str] = (), addresses: Sequence[str] = ()) -> int:
        """Return the number of users, optionally filtered by id and by address."""
        where, values = _condition(ids, addresses)
        row = self._database.one(f"SELECT count(*) FROM users{where}", *values)  # noqa: S608 - bound
        return int(row[0]) if row else 0


def _as_clerk_knows(
    connection: sqlite3.Connection, people: Iterable[tuple[str | None, str]]
) -> Iterator[tuple[str, str]]:
    for user_id, address in people:
        fate = fate_of(address)
        if fate.nouser:
            continue
        at_clerk = _elsewhere(address) if fate.mismatch else address
        yield user_id or _owner(connection, at_clerk) or id_from("user", at_clerk.lower()), at_clerk


def _elsewhere(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"other.{local.partition('+')[0]}@{domain}"


def _owner(connection: sqlite3.Connection, address: str) -> str | None:
    row = connection.execute(
        "SELECT user_id FROM email_addresses WHERE folded = ? ORDER BY number", (address.lower(),)
    ).fetchone()
    return None if row is None else str(row[0])


def _condition(ids: Sequence[str], addresses: Sequence[str]) -> tuple[str, list[str]]:
    conditions: list[str] = []
    values: list[str] = []
    if ids:
        conditions.append(f"id IN ({_marks(ids)})")
        values += ids
    if addresses:
        owners = f"SELECT user_id FROM email_addresses WHERE folded IN ({_marks(addresses)})"  # noqa: S608 - bound
        conditions.append(f"id IN ({owners})")
        values += [address.lower() for address in addresses]
    return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), values


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)


def _user(row: sqlite3.Row, addresses: Iterable[EmailAddress]) -> User:
    return User(
        id=row["id"],
        addresses=tuple(addresses),
        banned=bool(row["banned"]),
        locked=bool(row["locked"]),
        profile=json.loads(row["profile"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_sign_in_at=row["last_sign_in_at"],
    )
