"""A CSV as rows of text with their physical lines, in bounded memory. What its columns mean is not known here."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import stat
from itertools import chain
from typing import TYPE_CHECKING, NoReturn, Self, TextIO

from campaign.csvquotes import RowScanner
from campaign.errors import Problem, RecipientsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

#: Characters that a cell may have; a longer one costs its row.
MAX_CELL = 1_000_000
#: Characters that a physical line may have; a longer one costs its row.
MAX_LINE = 4_000_000

_DELIMITERS = ",;\t"
#: UTF-32 goes first, since its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, None),
    (codecs.BOM_UTF32_BE, None),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: Excel's own word for the delimiter, on a first line of its own.
_SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n]?)"?[\r\n]*', re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"?')
_CHUNK = 1 << 16


class CsvFile:
    """An open CSV: its header, and then its rows once, in the order of the file."""

    def __init__(self, path: Path) -> None:
        """Open the file and read its header.

        Raises:
            RecipientsError: it cannot be opened or decoded, or has no header.
        """
        # A limit of the process and not of the reader; nothing else in the program reads CSV.
        csv.field_size_limit(MAX_CELL)
        self._path = path
        self._stream = _open_text(path)
        try:
            self._lines = _Lines(self._stream)
            self._delimiter = ","
            first = self._first_line()
            #: The physical line on which the header begins.
            self.header_line = self._lines.number
            self._reader = csv.reader(
                chain((first,), self._lines), delimiter=self._delimiter, strict=True, skipinitialspace=True
            )
            header = self._next_row(self.header_line)
            if header is None:
                self.fail("the header is too long; is this a CSV?", self.header_line)
            #: The cells of the header, as they stand in the file.
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
        """Yield each row's first and last physical line and its cells; None where it is too large to be read.

        Raises:
            RecipientsError: the bytes are not text, or the quotes do not match: no row from there on can be
                trusted.
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
        """Return the first line of the header, and learn from it which delimiter the file has."""
        separator = None
        try:
            for line in self._lines:
                if self._lines.number == 1 and (separator := _SEPARATOR_LINE.fullmatch(line)):
                    continue
                if line.strip():
                    break
            else:
                raise RecipientsError(
                    f"{self._path}: the file is empty; it needs a header with the names of its columns, and rows."
                )
        except _LineTooLongError:
            self.fail("the first line is too long for a header; is this a CSV?", self._lines.number)
        except UnicodeDecodeError:
            self._fail_decoding()
        if separator:
            self._delimiter = separator[1]
            if not self._delimiter or self._delimiter not in _DELIMITERS:
                self.fail('this line should read "sep=," or "sep=;", or be left out.', 1)
        else:
            bare = _QUOTED.sub("", line)
            self._delimiter = max(_DELIMITERS, key=bare.count)
        return line

    def _next_row(self, start: int) -> list[str] | None:
        """Return the next row, or None for one that is too large.

        Raises:
            StopIteration: there is none.
            RecipientsError: see `rows`.
        """
        try:
            return next(self._reader)
        except _LineTooLongError:
            self._skip(start)
        except csv.Error as error:
            if "field limit" not in str(error):
                self._fail_quotes(start)
            self._skip(start)
        except UnicodeDecodeError:
            self._fail_decoding()
        except OSError as error:
            raise RecipientsError(f"{self._path}: reading failed: {error.strerror}.") from None
        return None

    def _skip(self, start: int) -> None:
        """Pass over the rest of a row that is too large, by the rules by which it would have been read.

        The rest must not be taken for rows: what stands inside a cell is data, and could name anybody.
        """
        lines = self._lines
        # Where a row goes on in a further line, it does so inside quotes: nothing else lets it go on.
        scanner = RowScanner(self._delimiter, in_quotes=lines.number > start)
        piece = lines.current
        while piece and not scanner.feed(piece, lines.number):
            piece = lines.read_piece()
        if scanner.broken or (not piece and scanner.in_quotes):
            self._fail_quotes(start)

    def _fail_quotes(self, start: int) -> NoReturn:
        """Raise the error that names the line on which the wrong quote of a row stands, reading the row once more."""
        scanner = RowScanner(self._delimiter)
        with _open_text(self._path) as stream:
            lines = _Lines(stream)
            while piece := lines.read_piece():
                if lines.number >= start and scanner.feed(piece, lines.number):
                    break
        if not scanner.broken:
            self.fail("a quote opens on this line and is never closed; close it, or write it twice.", scanner.opened)
        if scanner.opened == lines.number:
            self.fail(
                'a cell goes on behind its closing quote; inside a cell in quotes, a quote is written twice ("").',
                lines.number,
            )
        self.fail(
            f"the quote that opens on this line is closed in the midst of line {lines.number}; one is missing"
            " or too many.",
            scanner.opened,
        )

    def _fail_decoding(self) -> NoReturn:
        """Raise the error that names the line with the first bytes that are no text, reading the file once more."""
        encoding = self._stream.encoding
        decoder = codecs.getincrementaldecoder(encoding)()
        newlines = io.IncrementalNewlineDecoder(None, translate=True)
        breaks = 0
        with open_csv(self._path) as file:
            file.seek(len(_mark(file)[0]))
            while True:
                chunk = file.read(_CHUNK)
                try:
                    breaks += newlines.decode(decoder.decode(chunk, final=not chunk)).count("\n")
                except UnicodeDecodeError as error:
                    sound = error.object[: error.start].decode(encoding)
                    breaks += newlines.decode(sound, final=True).count("\n")
                    break
                if not chunk:
                    break
        self.fail(
            f"this line is not {encoding[:6].upper()} text; was the file saved as Latin-1 or Windows-1252?"
            ' Save it as "CSV UTF-8".',
            breaks + 1,
        )


class _LineTooLongError(Exception):
    """Takes the news of a line beyond `MAX_LINE` out through the CSV reader."""


class _Lines:
    """The physical lines of a text, for the CSV reader: ended by LF, CR or CRLF, and never more than bounded."""

    def __init__(self, stream: TextIO) -> None:
        self._readline = stream.readline
        #: The number of the line that was read last, counted from 1.
        self.number = 0
        #: What was read last.
        self.current = ""
        self._cut = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        """Return the next line.

        Raises:
            _LineTooLongError: it has more than `MAX_LINE` characters; `read_piece` gives what follows.
        """
        if self._cut:
            line = self.read_piece()
        else:
            line = self.current = self._readline(MAX_LINE)
            self.number += bool(line)
            self._cut = len(line) == MAX_LINE
        if self._cut:
            raise _LineTooLongError
        if not line:
            raise StopIteration
        return line

    def read_piece(self) -> str:
        """Return the next piece of a line, whole where it is short enough; empty at the end of the text."""
        before, piece = self.current, self._readline(MAX_LINE)
        if self._cut and before.endswith("\r") and piece == "\n":
            # The line was cut amid its CRLF.
            piece = self._readline(MAX_LINE)
        if piece and not (self._cut and not before.endswith(("\r", "\n"))):
            self.number += 1
        self.current = piece
        self._cut = len(piece) == MAX_LINE
        return piece


def open_csv(path: Path) -> BufferedReader:
    """Return the file, opened for reading its bytes.

    Raises:
        RecipientsError: it is missing, unreadable or not a regular file.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise RecipientsError(
            f"{path}: there is no such file; correct [recipients] file, or give --recipients."
        ) from None
    except IsADirectoryError:
        raise RecipientsError(f"{path}: this is a folder; name the CSV in it.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecipientsError(f"{path}: the file cannot be read: {reason}.") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        # It is read more than once, and again by the next run.
        raise RecipientsError(f"{path}: this is not a regular file; save the rows in one first.")
    return file


def _open_text(path: Path) -> TextIO:
    file = open_csv(path)
    try:
        mark, encoding = _mark(file)
        if encoding is None:
            raise RecipientsError(f'{path}: the file is UTF-32; save it as "CSV UTF-8".')
        if not mark and b"\0" in file.read(_CHUNK):
            raise RecipientsError(
                f'{path}: the file holds NUL bytes; it may be UTF-16 without its mark. Save it as "CSV UTF-8".'
            )
        file.seek(len(mark))
    except OSError as error:
        file.close()
        raise RecipientsError(f"{path}: reading failed: {error.strerror}.") from None
    except BaseException:
        file.close()
        raise
    return io.TextIOWrapper(file, encoding=encoding, newline="")


def _mark(file: BufferedReader) -> tuple[bytes, str | None]:
    """Return the byte order mark at the beginning of a file, and the encoding that it tells; None: not ours."""
    head = file.read(4)
    file.seek(0)
    return next(((mark, encoding) for mark, encoding in _MARKS if head.startswith(mark)), (b"", "utf-8"))
