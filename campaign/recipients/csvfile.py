"""Read a CSV as rows of text with their line numbers, in bounded memory: `CsvFile`."""

from __future__ import annotations

import csv
import re
from itertools import chain
from typing import TYPE_CHECKING, NoReturn, Self

from campaign.errors import Problem, RecipientsError
from campaign.recipients.csvquotes import RowScanner
from campaign.recipients.textlines import Lines, LineTooLongError, open_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Characters that a cell may have; a row with a longer cell, or with a line longer than `MAX_LINE`, is invalid.
MAX_CELL = 1_000_000

_DELIMITERS = ",;\t"
#: Excel's `sep=` line, which may come before the header and names the delimiter.
_SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n]?)"?[\r\n]*', re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"?')


class CsvFile:
    """An open CSV; yields its rows once, in the order of the file."""

    def __init__(self, path: Path) -> None:
        """Open the file and read its header.

        Raises:
            RecipientsError: the file cannot be opened or decoded, or has no header.
        """
        # This limit is global to the process; no other module reads CSV.
        csv.field_size_limit(MAX_CELL)
        self._path = path
        self._stream = open_text(path)
        try:
            self._lines = Lines(path, self._stream)
            self._delimiter = ","
            first = self._first_line()
            #: The line on which the header begins.
            self.header_line = self._lines.number
            self._reader = csv.reader(
                chain((first,), self._lines), delimiter=self._delimiter, strict=True, skipinitialspace=True
            )
            header = self._next_row(self.header_line)
            if header is None:
                self.fail("the header is too long; is this a CSV?", self.header_line)
            #: The cells of the header, unchanged.
            self.header: list[str] = header
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._stream.close()

    def rows(self) -> Iterator[tuple[int, int, list[str] | None]]:
        """Yield each row's first and last line number and its cells; the cells are None if the row is too large.

        Raises:
            RecipientsError: the file cannot be read or decoded, or its quotes do not match, so that the rows after this
                line cannot be trusted.
        """
        while True:
            start = self._lines.number + 1
            try:
                row = self._next_row(start)
            except StopIteration:
                return
            yield start, self._lines.number, row

    def fail(self, sentence: str, line: int) -> NoReturn:
        """Raise a RecipientsError about a line of this file."""
        raise RecipientsError(str(Problem(self._path, sentence, line)))

    def _first_line(self) -> str:
        """Return the first line of the header and set the delimiter from it."""
        separator = None
        try:
            for line in self._lines:
                if self._lines.number == 1 and (separator := _SEPARATOR_LINE.fullmatch(line)):
                    continue
                if line.strip():
                    break
            else:
                raise RecipientsError(
                    f"{self._path}: the file is empty; it needs a header with the column names, and rows."
                )
        except LineTooLongError:
            self.fail("the first line is too long for a header; is this a CSV?", self._lines.number)
        if separator:
            self._delimiter = separator[1]
            if not self._delimiter or self._delimiter not in _DELIMITERS:
                self.fail('write "sep=," or "sep=;" on this line, or remove it.', 1)
        else:
            bare = _QUOTED.sub("", line)
            self._delimiter = max(_DELIMITERS, key=bare.count)
        return line

    def _next_row(self, start: int) -> list[str] | None:
        """Return the next row, or None if it is too large.

        Raises:
            StopIteration: there is no further row.
            RecipientsError: see `rows`.
        """
        try:
            return next(self._reader)
        except LineTooLongError:
            self._skip(start)
        except csv.Error as error:
            if "field limit" not in str(error):
                self._fail_quotes(start)
            self._skip(start)
        return None

    def _skip(self, start: int) -> None:
        """Skip the rest of a row that is too large, by the same CSV rules.

        The rest must not be read as rows: the text of a cell could look like a row with any address.
        """
        lines = self._lines
        # A row continues on another line only inside quotes.
        scanner = RowScanner(self._delimiter, in_quotes=lines.number > start)
        piece = lines.current
        while piece and not scanner.feed(piece, lines.number):
            piece = lines.read_piece()
        if scanner.broken or (not piece and scanner.in_quotes):
            self._fail_quotes(start)

    def _fail_quotes(self, start: int) -> NoReturn:
        """Raise the error that names the line of the row's wrong quote; read the row again to find it."""
        scanner = RowScanner(self._delimiter)
        with open_text(self._path) as stream:
            lines = Lines(self._path, stream)
            while piece := lines.read_piece():
                if lines.number >= start and scanner.feed(piece, lines.number):
                    break
        if not scanner.broken:
            self.fail("a quote opens on this line and is never closed; close it, or write it twice.", scanner.opened)
        if scanner.opened == lines.number:
            self.fail(
                'there is text after the closing quote of a cell; inside a quoted cell, write a quote twice ("").',
                lines.number,
            )
        self.fail(
            f"the quote that opens on this line is closed in the middle of line {lines.number}; a quote is"
            " missing, or one is too many.",
            scanner.opened,
        )
