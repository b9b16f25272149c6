"""What a server shall do wrong, when and how often: plain values that also travel as JSON.

No socket is touched here; the servers ask a `Director` at every step what shall happen.
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

REGISTRY: dict[str, type[Any]] = {}


def scripted(cls: type[T]) -> type[T]:
    """Return `cls`, made known to `from_json`."""
    REGISTRY[cls.__name__] = cls
    return cls


@dataclass(frozen=True)
class Action:
    """What happens instead of the usual answer."""


@scripted
@dataclass(frozen=True)
class Reply(Action):
    """Another reply; `text` may hold several lines, CRLF is added to each."""

    text: str
    close: bool = False
    #: Whether the message counts as taken; None: if the code is 2xx.
    done: bool | None = None


@scripted
@dataclass(frozen=True)
class Drop(Action):
    """The connection is closed (FIN) without an answer; with `done` the work was done before."""

    done: bool = False


@scripted
@dataclass(frozen=True)
class Reset(Action):
    """The connection is reset (RST) without an answer."""

    done: bool = False


@scripted
@dataclass(frozen=True)
class Silence(Action):
    """No answer; the connection stays open for `seconds`, or until the client leaves."""

    seconds: float | None = None
    done: bool = False


@scripted
@dataclass(frozen=True)
class Delay(Action):
    """The usual answer, `seconds` late."""

    seconds: float


@scripted
@dataclass(frozen=True)
class Trickle(Action):
    """A reply byte by byte, one each `interval` seconds; None: the usual reply."""

    text: str | None = None
    interval: float = 0.1
    done: bool | None = None


@scripted
@dataclass(frozen=True)
class Raw(Action):
    """Exactly these bytes (written as Latin-1), well-formed or not."""

    data: str
    close: bool = False
    done: bool = False


@scripted
@dataclass(frozen=True)
class Endless(Action):
    """The same line again and again until the client leaves."""

    line: str = "250-and so on"
    done: bool = False


@scripted
@dataclass(frozen=True)
class Extra(Action):
    """The usual reply and, in the same packet, a line that nobody asked for."""

    text: str
    close: bool = False


@scripted
@dataclass(frozen=True)
class Fault:
    """An action, the stage at which it strikes, and on which occasions.

    An occasion is one passage of the stage by a recipient that matches `to`. Of several faults for one
    stage the first that strikes wins, and those after it do not count the occasion.
    """

    #: SMTP: connect ehlo helo starttls auth mail rcpt data body dot rset noop quit idle.
    #: Clerk: create revoke users any.
    at: str
    action: Action
    #: Shell pattern without regard to case: the recipient's address, or the Clerk user's id.
    to: str = "*"
    #: What the counts below are kept by.
    per: Literal["server", "connection", "recipient", "domain"] = "server"
    #: The first so many occasions pass unharmed.
    skip: int = 0
    #: It strikes at most so many times.
    times: int | None = None
    #: Of the occasions that are left only each n-th.
    every: int = 1
    #: Of the occasions that are left only this share, by seeded dice.
    probability: float = 1.0
    #: Only so many seconds long from the first occasion on (greylisting).
    lasting: float | None = None
    #: Only until this many recipients that it does not match have passed the stage.
    until_others: int | None = None
    #: Only while there is this file.
    while_there: str | None = None
    #: Only between these seconds after the server's start.
    between: tuple[float, float] | None = None
    #: Only when more than `over[0]` occasions fall within the last `over[1]` seconds (throttling).
    over: tuple[int, float] | None = None


class Director:
    """Decides at each step which fault strikes; the dice know the seed and the recipient, not the timing."""

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
        """Return whether any fault is planned for a stage."""
        return at in self._stages

    def choose(self, at: str, *, to: str = "", connection: int = 0) -> Action | None:
        """Return what goes wrong now, or None."""
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
    """Return a script as JSON; every dataclass carries its name."""

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
    """Return the script that `to_json` wrote."""

    def rich(item: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(item, list):
            return tuple(rich(one) for one in item)
        if isinstance(item, dict):
            fields = {key: rich(one) for key, one in item.items() if key != "_"}
            return REGISTRY[item["_"]](**fields) if "_" in item else fields
        return item

    return rich(json.loads(text))
