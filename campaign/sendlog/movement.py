"""The notes in a send log of its move to another place, `Movement`, and what they forbid: `refusal`.

A log has at most two: how it came here (`in`) and where it went (`out`). Both logs of a move have the same id. While
the note `in` is incomplete, the log is a copy that is not used yet; once the note `out` is complete, the log is not
used any more. A log that never moved has no table for them, whatever its version.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from campaign.clock import instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import SimpleNamespace

    from campaign.sendlog.database import LogConnection, LogLocation


class Direction(StrEnum):
    """How a move concerns a log."""

    #: Its rows came from another log.
    IN = "in"
    #: Its rows went to another log.
    OUT = "out"


@dataclass(frozen=True, slots=True)
class Movement:
    """One move, as one of its two logs notes it."""

    #: The same in both logs, and in no others.
    id: str
    #: The other log; it holds no secret.
    place: str
    #: When it was begun (seconds since the epoch).
    at: float
    is_complete: bool
    #: The ids of the moves before this one, oldest first, by which the rows came to the log that was moved.
    earlier: tuple[str, ...] = ()


Movements: TypeAlias = "Mapping[Direction, Movement]"

#: How the sentences begin with which a log's tables refuse changes.
_LEFT, _UNFINISHED = "it was moved to ", "it is an unfinished copy of "


def read_movements(connection: LogConnection, sql: SimpleNamespace) -> Movements:
    """Return the notes of a log.

    Args:
        connection: reads the log.
        sql: the backend's statements of `moving.sql`.
    """
    if not connection.execute(sql.has_movements).fetchone()[0]:
        return {}
    rows = connection.execute(sql.movements).fetchall()
    return {
        Direction(direction): Movement(number, place, at, bool(is_complete), tuple(json.loads(earlier)))
        for direction, number, place, at, is_complete, earlier in rows
    }


def refusal(log: LogLocation, movements: Movements) -> str | None:
    """Return the sentence with which commands that write are refused; None: they may write."""
    came, went = movements.get(Direction.IN), movements.get(Direction.OUT)
    if came is not None and not came.is_complete:
        return (
            f"the send log {log} is an unfinished copy of {came.place}, and is not used yet; finish the move: "
            f"{move_command(came.place, log)}"
        )
    if went is not None and went.is_complete:
        return (
            f"the send log {log} was moved to {went.place} on {instant(went.at):%Y-%m-%d at %H:%M} UTC and goes on "
            f"there: set CAMPAIGN_LOG to that. To bring it back: {move_command(went.place, log)}"
        )
    return None


def new_place(movements: Movements) -> str | None:
    """Return the place to which a log was moved, without secrets; None: it was not, or has come back."""
    went = movements.get(Direction.OUT)
    return went.place if went is not None and went.is_complete else None


def move_command(source: LogLocation | str, target: LogLocation | str) -> str:
    """Return the command that moves a log; a password is to be added."""
    return f"CAMPAIGN_LOG={shlex.quote(str(source))} campaign log move --to {shlex.quote(str(target))}"


def guard_text(direction: Direction, movement: Movement) -> str:
    """Return the words with which the log's tables refuse a change, while a move's note forbids it."""
    return f"{_LEFT if direction is Direction.OUT else _UNFINISHED}{movement.place}"


def is_guard_text(text: str) -> bool:
    """Return whether a database's words are those of `guard_text`."""
    return text.startswith((_LEFT, _UNFINISHED))


def guarded(log: LogLocation, text: str) -> str:
    """Return the sentence for a command that had the log open while it was moved."""
    return f"the send log {log} was not changed: {text}; set CAMPAIGN_LOG to that, and start this command again"
