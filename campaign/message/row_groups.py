"""Say once what is the same for many rows of a CSV, with their number and first lines: `RowGroups`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: At most this many texts are kept, so that a large CSV in which each row has its own takes bounded memory.
_MAX_TEXTS = 1_000
#: Lines that are named for each text.
_LINES_NAMED = 3


class RowGroups:
    """Groups the rows of a CSV by what is said of them.

    Args:
        file: the CSV.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        #: For each text the number of rows, and the lines of the first ones.
        self._rows: dict[str, tuple[int, list[int]]] = {}
        self._others = 0

    def __bool__(self) -> bool:
        """Return whether anything was said."""
        return bool(self._rows)

    def __len__(self) -> int:
        """Return the number of different texts."""
        return len(self._rows) + self._others

    def add(self, text: str, line: int) -> None:
        """Say a sentence about the row on a line."""
        if text not in self._rows and len(self._rows) == _MAX_TEXTS:
            self._others += 1
            return
        number, lines = self._rows.get(text, (0, []))
        if len(lines) < _LINES_NAMED:
            lines.append(line)
        self._rows[text] = (number + 1, lines)

    def lines(self) -> Iterator[str]:
        """Yield `file:line: text` for each text; if several rows share it, with their number and first lines."""
        for text, (number, lines) in self._rows.items():
            rest = ", …" if number > len(lines) else ""
            shared = f" ({number:,} rows: lines {', '.join(map(str, lines))}{rest})" if number > 1 else ""
            yield f"{Problem(self._file, text, lines[0])}{shared}"
        if self._others:
            yield f"{self._file}: {self._others:,} more rows with other reasons"
