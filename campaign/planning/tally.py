"""Collect what a simulated campaign does: `Tally`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

#: The width of a slot in seconds: no time zone is off by less.
SLOT_S = 900


@dataclass(slots=True)
class RowCount:
    """How many rows something is true of, and the first of them in the file."""

    number: int = 0
    #: The line of the CSV; 0 if there is none.
    first: int = 0
    #: About the first row: an instant (seconds since the epoch), or a sentence.
    at: float = 0.0
    why: str = ""

    def add(self, line: int, *, at: float = 0.0, why: str = "") -> None:
        """Count a row."""
        self.number += 1
        if not self.first or line < self.first:
            self.first, self.at, self.why = line, at, why


@dataclass(slots=True)
class Tally:
    """What goes out when, and what does not."""

    #: Messages by slot of 15 minutes (since the epoch) and the step's number.
    sent: Counter[tuple[int, int]] = field(default_factory=Counter)
    #: The instant of the last message (seconds since the epoch); 0 if there is none.
    last_at: float = 0.0
    #: The line of the CSV of the last message.
    last_line: int = 0
    #: Rows that are too late at the beginning already, and those that become too late before their turn.
    stale: RowCount = field(default_factory=RowCount)
    too_late: RowCount = field(default_factory=RowCount)
    #: Rows that cannot be mailed, and why: an address, a time or a zone that cannot be read.
    invalid: RowCount = field(default_factory=RowCount)
    #: Mails whose link expires shortly before their reader's hours begin again, and the life that would reach them.
    short_links: RowCount = field(default_factory=RowCount)
    needed_life: float = 0.0
    #: Mails that go out after the end of the simulation, or never.
    beyond: int = 0

    def send(self, at: float, step: int, line: int) -> None:
        """Count a message."""
        self.sent[int(at // SLOT_S), step] += 1
        self.last_at, self.last_line = at, line
