"""The table in Markdown, as it can be pasted into the README."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.bench import Line

_HEAD = ("benchmark", "what", "figure", "peer", "ratio", "wanted", "reached")
_REACHED = {True: "yes", False: "NO", None: ""}


def render(lines: Mapping[str, Sequence[Line]]) -> str:
    """Return the lines of each benchmark as an aligned table."""
    rows = [_HEAD]
    for name, found in lines.items():
        rows += [
            (name, line.what, line.figure, line.peer, line.ratio, line.wanted, _REACHED[line.reached]) for line in found
        ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(_row(cells, widths) for cells in (rows[0], rule, *rows[1:]))


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"
