"""How a Clerk instance is: its users, its limit, its latency and its faults."""

from __future__ import annotations

import csv
import fnmatch
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.servers.script import Action, Fault, scripted


@scripted
@dataclass(frozen=True)
class Answer(Action):
    """Another answer; with `done` the work was done before."""

    status: int
    #: A JSON value, or the very text.
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "text/html"
    #: Seconds for a Retry-After header, as a date if `as_date`.
    retry_after: float | None = None
    as_date: bool = False
    #: The instance stays shut for `retry_after` seconds: everything else gets 429, too.
    shut: bool = False
    done: bool = False


@scripted
@dataclass(frozen=True)
class Truncate(Action):
    """The work is done; of the answer's body only half arrives, then the connection closes."""


@scripted
@dataclass(frozen=True)
class Change(Action):
    """The work is done; the usual answer lacks some fields or has others."""

    without: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)


@scripted
@dataclass(frozen=True)
class Impostor(Action):
    """A token is made, but for another user, and the answer says so."""

    user_id: str


@scripted
@dataclass(frozen=True)
class Used(Action):
    """Revoke: somebody had signed in with the token just before."""


def refusal(status: int, code: str, *, retry_after: float | None = None, shut: bool = False) -> Answer:
    """Return an answer in the form of Clerk's errors."""
    return Answer(status, error_body(code), content_type="application/json", retry_after=retry_after, shut=shut)


def error_body(code: str, **meta: str) -> dict[str, Any]:
    """Return the body of Clerk's errors."""
    words = code.replace("_", " ")
    error: dict[str, Any] = {
        "message": words,
        "long_message": f"The scripted server says: {words}.",
        "code": code,
    }
    if meta:
        error["meta"] = meta
    return {"errors": [error], "clerk_trace_id": "trace_scripted"}


@scripted
@dataclass(frozen=True)
class Users:
    """The users that Clerk knows: those of a CSV file, or everybody whose id matches a pattern."""

    #: A file with the columns `user_id` and `email` (UTF-8, comma).
    csv: str | None = None
    #: Without a file: the ids that exist, and the address of each; `{id}` stands for the id.
    pattern: str = "user_*"
    address: str = "{id}@example.com"
    #: Patterns of ids, each winning over the above.
    unknown: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()
    #: Users with another address than the file says.
    moved: tuple[str, ...] = ()
    #: Addresses that Clerk has not verified, and those that it says nothing about: patterns of "id address".
    unverified: tuple[str, ...] = ()
    no_verification: tuple[str, ...] = ()
    #: More addresses of a user, by id.
    more: dict[str, tuple[str, ...]] = field(default_factory=dict)


class UserDirectory:
    """The users, to be looked up by id or address."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._by_id: dict[str, str] = {}
        self._by_address: dict[str, list[str]] = {}
        if users.csv is not None:
            with Path(users.csv).open(encoding="utf-8-sig", newline="") as lines:
                for row in csv.DictReader(lines, strict=True):
                    self._by_id.setdefault(row["user_id"], row["email"])
            for user_id in self._by_id:
                for address in self.addresses(user_id):
                    self._by_address.setdefault(address.lower(), []).append(user_id)

    def knows(self, user_id: str) -> bool:
        """Return whether there is such a user."""
        if _matches(user_id, self._users.unknown):
            return False
        if self._users.csv is not None:
            return user_id in self._by_id
        return fnmatch.fnmatchcase(user_id, self._users.pattern)

    def addresses(self, user_id: str) -> list[str]:
        """Return the addresses of a user that exists, the primary one first."""
        if _matches(user_id, self._users.moved):
            first = f"moved+{user_id.lower()}@elsewhere.example"
        else:
            first = self._by_id.get(user_id) or self._users.address.format(id=user_id)
        return [first, *self._users.more.get(user_id, ())]

    def verification(self, user_id: str, address: str) -> dict[str, str] | None:
        """Return how an address of a user was verified; None: Clerk says nothing about it."""
        name = f"{user_id} {address}"
        if _matches(name, self._users.no_verification):
            return None
        status = "unverified" if _matches(name, self._users.unverified) else "verified"
        return {"status": status, "strategy": "email_code"}

    def find(self, address: str) -> list[str]:
        """Return the ids of the users with an address."""
        if self._users.csv is not None:
            return [one for one in self._by_address.get(address.lower(), []) if self.knows(one)]
        before, _, after = self._users.address.partition("{id}")
        user_id = address[len(before) : len(address) - len(after)]
        found = self.knows(user_id) and address.lower() in map(str.lower, self.addresses(user_id))
        return [user_id] if found else []

    def count(self) -> int:
        """Return the number of users; 0 where only a pattern says who they are."""
        return len(self._by_id)

    def banned(self, user_id: str) -> bool:
        """Return whether a user is banned."""
        return _matches(user_id, self._users.banned)

    def locked(self, user_id: str) -> bool:
        """Return whether a user is locked out."""
        return _matches(user_id, self._users.locked)


def _matches(user_id: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(user_id, pattern) for pattern in patterns)


@scripted
@dataclass(frozen=True)
class ClerkScript:
    """The whole behaviour of one Clerk instance, as a value."""

    users: Users = field(default_factory=Users)
    faults: tuple[Fault, ...] = ()
    #: For the dice of the faults and the tokens.
    seed: int = 0
    #: The secret key; None: any.
    key: str | None = None
    #: Requests and seconds; more in any window get 429 until the window has passed. None: no limit.
    limit: tuple[int, float] | None = None
    #: Seconds that each answer takes.
    latency: float = 0.0
    #: Roughly the characters of a token.
    token_length: int = 300
