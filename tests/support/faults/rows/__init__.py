"""The rows of the catalogue, one file per area: the fault, the program's reaction, and the tests: `Row`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A fault that can happen in a run."""

    fault: str
    #: What the program does about it.
    wanted: str
    #: `file::test` below `tests/`: in `faults/` against the whole program, in other folders against a part of it.
    tests: tuple[str, ...] = ()
    #: Why the fault, or a part of it, is not tested against the whole program.
    reason: str = ""
