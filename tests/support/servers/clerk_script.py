"""Describe the behaviour of a Clerk instance: users, rate limit, latency and faults: `ClerkScript`."""

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
    """Respond with this response; if `done`, after the work was done."""

    status: int
    #: A JSON value, or the literal text.
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "text/html"
    #: The seconds of a Retry-After header, sent as a date if `as_date`.
    retry_after: float | None = None
    as_date: bool = False
    #: For `retry_after` seconds, all other requests get 429, too.
    shut: bool = False
    done: bool = False


@scripted
@dataclass(frozen=True)
class Truncate(Action):
    """Do the work, send only half of the response's body, then close the connection."""


@scripted
@dataclass(frozen=True)
class Change(Action):
    """Do the work, but remove or replace some fields of the response."""

    without: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)


@scripted
@dataclass(frozen=True)
class Impostor(Action):
    """Make a token for another user, and say so in the response."""

    user_id: str


@scripted
@dataclass(frozen=True)
class Used(Action):
    """For revoke: the token was used to sign in just before."""


def refusal(status: int, code: str, *, retry_after: float | None = None, shut: bool = False) -> Answer:
    """Return a response in the form of Clerk's errors."""
    return Answer(status, error_body(code), content_type="application/json", retry_after=retry_after, shut=shut)


def error_body(code: str, **meta: str) -> dict[str, Any]:
    """Return the body of an error in Clerk's form."""
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
    """The users that Clerk knows: those in a CSV file, or all ids that match a pattern."""

    #: A file with the columns `user_id` and `email` (UTF-8, comma).
    csv: str | None = None
    #: Without a file: the pattern of the existing ids, and the address of each user; `{id}` stands for the id.
    pattern: str = "user_*"
    address: str = "{id}@example.com"
    #: Patterns of ids; they override the file and the pattern above.
    unknown: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()
    #: Patterns of users whose address differs from the file's.
    moved: tuple[str, ...] = ()
    #: Unverified addresses, and addresses without a verification: patterns of "id address".
    unverified: tuple[str, ...] = ()
    no_verification: tuple[str, ...] = ()
    #: The people of the file are on the waitlist, and users only once they are created, with the file's id; it is the
    #: id of their entry, too. No user can be created for those in `unknown`.
    waitlist: bool = False
    #: Patterns of ids of those on the waitlist who are users already.
    already: tuple[str, ...] = ()
    #: The status of entries that are not pending, by id.
    statuses: dict[str, str] = field(default_factory=dict)
    #: Whether an entry is completed when its user is created.
    completes: bool = True
    #: Additional addresses of a user, by id.
    more: dict[str, tuple[str, ...]] = field(default_factory=dict)


class UserDirectory:
    """Looks up users by id or address."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._by_id: dict[str, str] = {}
        self._by_address: dict[str, list[str]] = {}
        #: When each user signed in last and was active last, in milliseconds since the epoch.
        self.seen: dict[str, dict[str, int]] = {}
        #: The users that were created.
        self.created: set[str] = set()
        if users.csv is not None:
            with Path(users.csv).open(encoding="utf-8-sig", newline="") as lines:
                for row in csv.DictReader(lines, strict=True):
                    self._by_id.setdefault(row["user_id"], row["email"])
            for user_id in self._by_id:
                for address in self.addresses(user_id):
                    self._by_address.setdefault(address.lower(), []).append(user_id)

    def knows(self, user_id: str) -> bool:
        """Return whether this user exists."""
        if _matches(user_id, self._users.unknown):
            return False
        if self._users.csv is not None:
            is_user = not self._users.waitlist or user_id in self.created or _matches(user_id, self._users.already)
            return is_user and user_id in self._by_id
        return fnmatch.fnmatchcase(user_id, self._users.pattern)

    def addresses(self, user_id: str) -> list[str]:
        """Return the addresses of an existing user, the primary one first."""
        if _matches(user_id, self._users.moved):
            first = f"moved+{user_id.lower()}@elsewhere.example"
        else:
            first = self._by_id.get(user_id) or self._users.address.format(id=user_id)
        return [first, *self._users.more.get(user_id, ())]

    def verification(self, user_id: str, address: str) -> dict[str, str] | None:
        """Return the verification of a user's address; None if Clerk's response has none."""
        name = f"{user_id} {address}"
        if _matches(name, self._users.no_verification):
            return None
        status = "unverified" if _matches(name, self._users.unverified) else "verified"
        return {"status": status, "strategy": "email_code"}

    def find(self, address: str) -> list[str]:
        """Return the ids of the users with this address."""
        if self._users.csv is not None:
            return [one for one in self._by_address.get(address.lower(), []) if self.knows(one)]
        before, _, after = self._users.address.partition("{id}")
        user_id = address[len(before) : len(address) - len(after)]
        found = self.knows(user_id) and address.lower() in map(str.lower, self.addresses(user_id))
        return [user_id] if found else []

    def owner(self, address: str) -> str:
        """Return the id of the person with this address, a user or not; empty if there is none."""
        return next((one for one, mine in self._by_id.items() if mine.lower() == address.lower()), "")

    def may_be_created(self, user_id: str) -> bool:
        """Return whether Clerk lets this person become a user."""
        return bool(user_id) and not _matches(user_id, self._users.unknown)

    def entries(self) -> list[tuple[str, str, str]]:
        """Return (id, address, status) of the waitlist's entries, in the order of the file."""
        return [(one, address, self._status(one)) for one, address in self._by_id.items()]

    def _status(self, user_id: str) -> str:
        if self._users.completes and user_id in self.created:
            return "completed"
        return self._users.statuses.get(user_id, "pending")

    def join(self, user_id: str, address: str) -> None:
        """Put somebody on the waitlist, behind all others."""
        self._by_id[user_id] = address
        self._by_address.setdefault(address.lower(), []).append(user_id)

    def leave(self, user_id: str) -> None:
        """Delete an entry of the waitlist."""
        self._by_address.pop(self._by_id.pop(user_id).lower())

    def count(self) -> int:
        """Return the number of users in the file; 0 if the users are given by a pattern."""
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
    #: The seed of the faults' random numbers and of the tokens.
    seed: int = 0
    #: The secret key; None accepts any key.
    key: str | None = None
    #: Number of requests and seconds; further requests in a window get 429. None: no limit.
    limit: tuple[int, float] | None = None
    #: Seconds that each response takes.
    latency: float = 0.0
    #: The approximate number of characters of a token.
    token_length: int = 300
