"""Notice that the key column cannot be one: a spreadsheet rounded it, or most rows share a value: `KeyCheck`."""

from __future__ import annotations

import re

#: How spreadsheets write a long number in a narrow or unformatted column: 1.23457E+12, with a comma in some languages.
_ROUNDED = re.compile(r"[+-]?[0-9](?:[.,][0-9]{1,14})?E\+[0-9]{2,3}")
#: With fewer rows a value that most of them share may be chance.
_MIN_ROWS = 10


class KeyCheck:
    """Looks at the key of each row.

    It finds a value that most rows share in one pass and with one counter (Boyer and Moore's majority vote).

    Args:
        column: the name of the key column in the CSV.
    """

    def __init__(self, column: str) -> None:
        self._column = column
        self._rows = 0
        self._candidate = ""
        self._votes = 0

    def rounded(self, key: str) -> str | None:
        """Return why a key cannot be the one that was exported, or None."""
        if _ROUNDED.fullmatch(key) is None:
            return None
        return (
            f'the key {self._column} is "{key}": a spreadsheet rounded it, so different recipients may have the same '
            "key. Export the data again without opening it in a spreadsheet, or format this column as text before the "
            "data is put into it."
        )

    def count(self, key: str) -> None:
        """Count the key of a valid row."""
        self._rows += 1
        if key == self._candidate:
            self._votes += 1
        elif self._votes:
            self._votes -= 1
        else:
            self._candidate, self._votes = key, 1

    def shared(self) -> str | None:
        """Return why the column cannot be the key, if three of four rows share a value; else None."""
        # The votes are a lower bound for the number of rows with the candidate.
        if self._rows < _MIN_ROWS or self._votes * 2 <= self._rows:
            return None
        return (
            f'most of the {self._rows:,} rows have the same key: {self._column} is "{self._candidate[:40]}", and only '
            "one email would go out for them. Name a column with a value of its own for each recipient as "
            '[recipients] key, or write group = "items" to send the rows of a key as one email.'
        )
