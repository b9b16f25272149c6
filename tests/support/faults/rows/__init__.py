"""The rows of the catalogue, a file for each area: a fault, what the program does about it, and who plays it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A fault that a run may meet."""

    fault: str
    #: What the program does about it.
    wanted: str
    #: `file::test` below `tests/`: in `faults/` against the whole program, elsewhere against a part of it.
    tests: tuple[str, ...] = ()
    #: Why it, or a part of it, is not played against the whole program.
    reason: str = ""
