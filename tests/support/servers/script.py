"""Describe a server's faults, with their stage, time and frequency, as values that convert to JSON: `Fault`.

The servers ask a `Director` at every step which fault to apply.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import json
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")

#: How often a server looks whether a delay is over (seconds).
GLANCE_S = 0.02
REGISTRY: dict[str, type[Any]] = {}


def scripted(cls: type[T]) -> type[T]:
    """Return `cls`, registered for `from_json`."""
    REGISTRY[cls.__name__] = cls
    return cls


@dataclass(frozen=True)
class Action:
    """What the server does instead of the usual reply."""


@scripted
@dataclass(frozen=True)
class Reply(Action):
    """Send another reply; `text` may have several lines, each is sent with CRLF."""

    text: str
    close: bool = False
    #: Whether the message counts as accepted; None: it does if the code is 2xx.
    done: bool | None = None


@scripted
@dataclass(frozen=True)
class Drop(Action):
    """Close the connection (FIN) without a reply; if `done`, after the work was done."""

    done: bool = False


@scripted
@dataclass(frozen=True)
class Reset(Action):
    """Reset the connection (RST) without a reply."""

    done: bool = False


@scripted
@dataclass(frozen=True)
class Silence(Action):
    """Send no reply, and keep the connection open for `seconds`, or until the client leaves."""

    seconds: float | None = None
    done: bool = False


@scripted
@dataclass(frozen=True)
class Delay(Action):
    """Send the usual reply `seconds` late."""

    seconds: float
    #: Not before there is a file of this name beside the server's record, or at this path.
    until: str | None = None


@scripted
@dataclass(frozen=True)
class Trickle(Action):
    """Send a reply byte by byte, one every `interval` seconds; None: the usual reply."""

    text: str | None = None
    interval: float = 0.1
    done: bool | None = None


@scripted
@dataclass(frozen=True)
class Raw(Action):
    """Send exactly these bytes (given as Latin-1), well-formed or not."""

    data: str
    close: bool = False
    done: bool = False


@scripted
@dataclass(frozen=True)
class Endless(Action):
    """Send the same line again and again until the client leaves."""

    line: str = "250-and so on"
    done: bool = False


@scripted
@dataclass(frozen=True)
class Extra(Action):
    """Send the usual reply and, in the same packet, an unsolicited line."""

    text: str
    close: bool = False


@scripted
@dataclass(frozen=True)
class Fault:
    """An action, the stage at which the server performs it, and the conditions.

    An occasion is one pass through the stage by a recipient that matches `to`. Of several faults at one stage the
    first one that applies wins; the faults after it do not count the occasion.
    """

    #: SMTP: connect ehlo helo starttls auth mail rcpt data body dot rset noop quit idle.
    #: Clerk: create revoke users any.
    at: str
    action: Action
    #: A shell pattern, case-insensitive: of the recipient's address, or of the Clerk user's id.
    to: str = "*"
    #: Each server, connection, recipient or domain has its own counts for the fields below.
    per: Literal["server", "connection", "recipient", "domain"] = "server"
    #: The number of first occasions to skip.
    skip: int = 0
    #: The fault applies at most this many times.
    times: int | None = None
    #: The fault applies only to each n-th of the remaining occasions.
    every: int = 1
    #: The fault applies only to this share of the remaining occasions, chosen by seeded random numbers.
    probability: float = 1.0
    #: The fault applies only for this many seconds from the first occasion on (greylisting).
    lasting: float | None = None
    #: The fault applies only until this many recipients that do not match `to` have passed the stage.
    until_others: int | None = None
    #: The fault applies only while this file exists.
    while_there: str | None = None
    #: The fault applies only between these two times, in seconds after the server's start.
    between: tuple[float, float] | None = None
    #: The fault applies only if more than `over[0]` occasions were in the last `over[1]` seconds (throttling).
    over: tuple[int, float] | None = None


class Director:
    """Decides at each step which fault applies; its random numbers depend on seed and recipient, not on timing."""

    def __init__(self, faults: tuple[Fault, ...], *, seed: int = 0) -> None:
        self._seed = seed
        self._started = time.monotonic()
        self._stages: dict[str, list[tuple[int, Fault]]] = defaultdict(list)
        for number, fault in enumerate(faults):
            self._stages[fault.at].append((number, fault))
        self._seen: dict[tuple[int, str], int] = defaultdict(int)
        self._struck: dict[tuple[int, str], int] = defaultdict(int)
        self._rolls: dict[tuple[int, str], int] = defaultdict(int)
        self._first: dict[tuple[int, str], float] = {}
        self._others: dict[int, int] = defaultdict(int)
        self._recent: dict[tuple[int, str], deque[float]] = defaultdict(deque)

    def has(self, at: str) -> bool:
        """Return whether any fault is scripted for a stage."""
        return at in self._stages

    def choose(self, at: str, *, to: str = "", connection: int = 0) -> Action | None:
        """Return the action of the fault that applies now, or None."""
        for number, fault in self._stages.get(at, ()):
            if fault.to != "*" and not fnmatch.fnmatchcase(to.lower(), fault.to.lower()):
                self._others[number] += 1
                continue
            if self._strikes(number, fault, to=to.lower(), connection=connection):
                return fault.action
        return None

    def _strikes(self, number: int, fault: Fault, *, to: str, connection: int) -> bool:
        by = {"server": "", "connection": str(connection), "recipient": to, "domain": to.rpartition("@")[2]}
        key = (number, by[fault.per])
        now = time.monotonic()
        self._seen[key] += 1
        count = self._seen[key] - fault.skip
        strikes = (
            count > 0
            and (fault.until_others is None or self._others[number] < fault.until_others)
            and (fault.while_there is None or Path(fault.while_there).exists())
            and self._in_time(key, now, fault)
            and (fault.over is None or self._throttled(key, now, fault.over))
            and count % fault.every == 0
            and (fault.times is None or self._struck[key] < fault.times)
            and (fault.probability >= 1 or self._dice(number, to) < fault.probability)
        )
        self._struck[key] += strikes
        return strikes

    def _in_time(self, key: tuple[int, str], now: float, fault: Fault) -> bool:
        if fault.between is not None and not fault.between[0] <= now - self._started < fault.between[1]:
            return False
        return fault.lasting is None or now - self._first.setdefault(key, now) < fault.lasting

    def _throttled(self, key: tuple[int, str], now: float, over: tuple[int, float]) -> bool:
        recent = self._recent[key]
        while recent and recent[0] <= now - over[1]:
            recent.popleft()
        if len(recent) >= over[0]:
            return True
        recent.append(now)
        return False

    def _dice(self, number: int, to: str) -> float:
        count = self._rolls[number, to] = self._rolls[number, to] + 1
        digest = hashlib.blake2b(f"{self._seed}:{number}:{to}:{count}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


def to_json(value: object) -> str:
    """Return a script as JSON; every dataclass is written with its class name."""

    def plain(item: object) -> object:
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            fields = {f.name: plain(getattr(item, f.name)) for f in dataclasses.fields(item)}
            return {"_": type(item).__name__, **fields}
        if isinstance(item, tuple | list):
            return [plain(one) for one in item]
        if isinstance(item, dict):
            return {key: plain(one) for key, one in item.items()}
        return item

    return json.dumps(plain(value), indent=1)


def from_json(text: str) -> Any:  # noqa: ANN401 - the text says which class it is
    """Return the script from the JSON of `to_json`."""

    def rich(item: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(item, list):
            return tuple(rich(one) for one in item)
        if isinstance(item, dict):
            fields = {key: rich(one) for key, one in item.items() if key != "_"}
            return REGISTRY[item["_"]](**fields) if "_" in item else fields
        return item

    return rich(json.loads(text))
