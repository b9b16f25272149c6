"""Detect a text file's encoding and read its lines in bounded memory: `open_text` and `Lines`."""

from __future__ import annotations

import codecs
import io
import stat
from typing import TYPE_CHECKING, NoReturn, Self, TextIO

from campaign.errors import Problem, RecipientsError

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path

#: Characters that a line may have; a longer line is read in pieces.
MAX_LINE = 4_000_000

#: Byte order marks. UTF-32 stands before UTF-16, since its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, None),
    (codecs.BOM_UTF32_BE, None),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHUNK_BYTES = 1 << 16


class LineTooLongError(Exception):
    """A line has `MAX_LINE` characters or more. It passes through `csv.reader` to the caller."""


class Lines:
    """Iterates over the lines of a text; each keeps its line end: LF, CR or CRLF."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        """Read `stream`, which `open_text` returned for `path`, from its beginning."""
        self._path = path
        self._stream = stream
        #: The number of the last line that was read, counted from 1.
        self.number = 0
        #: The last line or piece that was read.
        self.current = ""
        self._cut = False

    def __iter__(self) -> Self:
        """Return the lines themselves."""
        return self

    def __next__(self) -> str:
        """Return the next line.

        Raises:
            LineTooLongError: the line has `MAX_LINE` characters or more; `read_piece` reads the rest of it.
            RecipientsError: the line cannot be decoded or read.
        """
        if self._cut:
            line = self.read_piece()
        else:
            line = self.current = self._read()
            self.number += bool(line)
            self._cut = len(line) == MAX_LINE
        if self._cut:
            raise LineTooLongError
        if not line:
            raise StopIteration
        return line

    def read_piece(self) -> str:
        """Return the next line, or a piece of it if it is too long; empty at the end of the text.

        Raises:
            RecipientsError: the line cannot be decoded or read.
        """
        before, piece = self.current, self._read()
        if self._cut and before.endswith("\r") and piece == "\n":
            # The line was cut between CR and LF.
            piece = self._read()
        goes_on = self._cut and not before.endswith(("\r", "\n"))
        if piece and not goes_on:
            self.number += 1
        self.current = piece
        self._cut = len(piece) == MAX_LINE
        return piece

    def _read(self) -> str:
        try:
            return self._stream.readline(MAX_LINE)
        except UnicodeDecodeError:
            _fail_decoding(self._path, self._stream.encoding)
        except OSError as error:
            raise RecipientsError(
                f"{self._path}: reading failed ({error.strerror}); copy the file to another disk and name the copy."
            ) from None


def open_regular(path: Path) -> BufferedReader:
    """Return the file, opened for reading bytes.

    Raises:
        RecipientsError: the file is missing, unreadable or not a regular file.
    """
    try:
        # `stat` comes before `open`, since opening a named pipe blocks until it has a writer.
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return path.open("rb")
    except FileNotFoundError:
        raise RecipientsError(
            f"{path}: this file does not exist; correct [recipients] file, or give --recipients."
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecipientsError(
            f"{path}: the file cannot be read ({reason}); make it readable, or name another one."
        ) from None
    if stat.S_ISDIR(mode):
        raise RecipientsError(f"{path}: this is a folder; name the CSV in it.")
    # The file must be regular: it is read several times in a run, and again by the next run.
    raise RecipientsError(f"{path}: this is not a regular file; save the rows in a file first.")


def open_text(path: Path) -> TextIO:
    """Return the text of a file: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises:
        RecipientsError: see `open_regular`; also raised for another encoding.
    """
    file = open_regular(path)
    try:
        mark, encoding = _mark(file)
        if encoding is None:
            raise RecipientsError(
                f'{path}: the file is UTF-32 or UTF-16 without a byte order mark; save it as "CSV UTF-8".'
            )
        file.seek(len(mark))
    except OSError as error:
        file.close()
        raise RecipientsError(
            f"{path}: reading failed ({error.strerror}); copy the file to another disk and name the copy."
        ) from None
    except BaseException:
        file.close()
        raise
    return io.TextIOWrapper(file, encoding=encoding, newline="")


def _fail_decoding(path: Path, encoding: str) -> NoReturn:
    """Raise the error that names the first line that cannot be decoded; read the file again to find it."""
    decoder = codecs.getincrementaldecoder(encoding)()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    line, chunk = 1, b"\0"
    with open_regular(path) as file:
        file.seek(len(_mark(file)[0]))
        try:
            while chunk:
                chunk = file.read(_CHUNK_BYTES)
                line += newlines.decode(decoder.decode(chunk, final=not chunk)).count("\n")
        except UnicodeDecodeError as error:
            sound = error.object[: error.start].decode(encoding)
            line += newlines.decode(sound, final=True).count("\n")
    hint = "was the file saved as Latin-1 or Windows-1252?" if encoding == "utf-8" else "is the file damaged?"
    sentence = f'this line is not {encoding[:6].upper()} text; {hint} Save it as "CSV UTF-8".'
    raise RecipientsError(str(Problem(path, sentence, line)))


def _mark(file: BufferedReader) -> tuple[bytes, str | None]:
    """Return the byte order mark of a file and the encoding; the encoding is None if it is not supported."""
    head = file.read(4)
    file.seek(0)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return mark, encoding
    # A header is mostly ASCII, so in UTF-16 every other byte of it is NUL.
    return b"", None if b"\0" in head else "utf-8"
