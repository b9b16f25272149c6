"""Tell the time of a sandbox, the same in every process that uses its folder: `SharedClock`, `announced`.

A run may play days in seconds (`campaign run --sandbox --speed 3600x`). It announces its clock in the sandbox's
database, and an inbox that is open meanwhile follows it. A lock says whether the run still lives, so that the clock of
a killed run does not race on.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from campaign.sandbox.folder import private_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.sandbox.database import Database

#: The setting with the announced clock: a real instant, the instant shown then (both in seconds since the epoch), and
#: how many shown seconds pass in a real one.
_SETTING = "clock"
#: What happened last, as far as the time after it matters: mails, redeemed and revoked tokens, sign-ins. Milliseconds.
_LATEST = (
    "SELECT max(received_at) FROM mails",
    "SELECT max(max(created_at, updated_at)) FROM sign_in_tokens",
    "SELECT max(max(updated_at, last_active_at)) FROM sessions",
    "SELECT max(updated_at) FROM waitlist_entries",
)
_LAST_MAIL = "SELECT received_at FROM mails ORDER BY number DESC LIMIT 1"


class SandboxClock(Protocol):
    """The time of a run in the sandbox."""

    @property
    def speed(self) -> float:
        """How many of its seconds pass in a second of the machine."""
        ...

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...


def latest_instant(database: Database) -> float:
    """Return when something happened last in the sandbox, in seconds since the epoch; 0 if nothing did."""
    found = [row[0] for statement in _LATEST if (row := database.one(statement)) and row[0]]
    return max(found, default=0) / 1000


class SharedClock:
    """The sandbox's time: that of the run that plays in it, else the machine's, or later if things happened later.

    Args:
        database: the sandbox's.
        folder: the sandbox's.
        begins_at: the earliest instant, in seconds since the epoch.
    """

    def __init__(self, database: Database, folder: Path, *, begins_at: float = 0.0) -> None:
        self._database = database
        self._lock = _lock_of(folder)
        self._ahead = max(0.0, max(begins_at, latest_instant(database)) - time.time())

    def now(self) -> float:
        """Return seconds since the epoch."""
        real = time.time()
        announced = self._announced(real)
        if announced is not None:
            self._ahead = announced - real
        else:
            last = self._database.one(_LAST_MAIL)
            self._ahead = max(self._ahead, 0.0, last[0] / 1000 - real if last else 0.0)
        return real + self._ahead

    def _announced(self, real: float) -> float | None:
        """Return the time of the run that plays in the sandbox; None if there is no such run."""
        row = self._database.one("SELECT value FROM settings WHERE name = ?", _SETTING)
        if row is None or not _is_held(self._lock):
            return None
        since, shown, speed = json.loads(row[0])
        return float(shown + max(0.0, real - since) * speed)


@contextmanager
def announced(database: Database, folder: Path, clock: SandboxClock) -> Iterator[None]:
    """Let the other processes follow a clock during the block; of two runs at once, only the first one is followed."""
    lock = _lock_of(folder)
    private_file(lock)
    descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            value = json.dumps([time.time(), clock.now(), clock.speed])
            with database.transaction() as connection:
                connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (_SETTING, value))
        yield
    finally:
        os.close(descriptor)


def _lock_of(folder: Path) -> Path:
    return folder / "clock.lock"


def _is_held(lock: Path) -> bool:
    """Return whether a living process holds the lock."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
