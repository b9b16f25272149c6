"""The CSV reader: exact rows, physical line numbers, bounded memory, and no guessing."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.errors import RecipientsError
from campaign.recipients import csvfile, textlines
from campaign.recipients.csvfile import CsvFile
from campaign.recipients.csvquotes import RowScanner

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = "email,user_id,note"


def written(folder: Path, content: str | bytes) -> Path:
    """Return a file with this content."""
    path = folder / "people.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(path: Path) -> list[tuple[int, list[str] | None]]:
    """Return the rows, each with the line on which it starts."""
    with CsvFile(path) as file:
        return [(start, cells) for start, _, cells in file.rows()]


def refusal(path: Path) -> str:
    """Return the error that is raised when the file is read to its end."""
    with pytest.raises(RecipientsError) as refused:
        rows(path)
    return str(refused.value)


@given(
    table=st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=3, max_size=3),
        max_size=6,
    ),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    announced=st.booleans(),
)
def test_what_was_written_is_read(
    *,
    table: list[list[str]],
    delimiter: str,
    end: str,
    quoting: Literal[0, 1],
    encoding: str,
    announced: bool,
) -> None:
    """A table is read back cell for cell, whatever its delimiter, line ends, quoting and encoding."""
    text = f"sep={delimiter}{end}" if announced else ""
    for row in (["email", "user_id", "note"], *table):
        # Before Python 3.13 the writer quotes only the line end it was given, so give it CRLF.
        line = io.StringIO(newline="")
        csv.writer(line, delimiter=delimiter, quoting=quoting).writerow(row)
        text += line.getvalue().removesuffix("\r\n") + end
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), text.encode(encoding))
        with CsvFile(path) as file:
            assert file.header == ["email", "user_id", "note"]
            found = [cells for _, _, cells in file.rows()]
    if quoting == csv.QUOTE_MINIMAL:
        # Spaces before a cell are skipped, unless the cell is quoted.
        table = [[cell.lstrip(" ") for cell in row] for row in table]
        found = [[cell.lstrip(" ") for cell in row or []] for row in found]
    assert found == table


@given(
    text=st.text(st.sampled_from('a",; \r\n'), max_size=40),
    delimiter=st.sampled_from(",;"),
    cut=st.integers(1, 5),
)
def test_the_scanner_of_quotes_ends_rows_where_the_reader_does(text: str, delimiter: str, cut: int) -> None:
    """The fast scanner, which follows only the quotes, finds the same row ends and errors as the CSV reader."""
    lines = io.StringIO(text, newline="").readlines()
    reader = csv.reader(iter(lines), delimiter=delimiter, strict=True, skipinitialspace=True)
    outcomes: list[int | str] = []
    try:
        outcomes.extend(reader.line_num for _ in reader)
    except csv.Error as error:
        outcomes.append("open" if "unexpected end" in str(error) else "broken")

    found: list[int | str] = []
    scanner = RowScanner(delimiter)
    for number, line in enumerate(lines, start=1):
        pieces = [line[i : i + cut] for i in range(0, len(line), cut)]
        ended = any(scanner.feed(piece, number) for piece in pieces)
        if scanner.broken:
            found.append("broken")
            break
        if ended or (number == len(lines) and not scanner.in_quotes):
            found.append(number)
            scanner = RowScanner(delimiter)
    if scanner.in_quotes:
        found.append("open")
    assert found == outcomes


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_the_physical_ones(tmp_path: Path, end: str) -> None:
    """A row is located by its first physical line, also after quoted line ends and empty lines."""
    path = written(tmp_path, end.join(["", HEADER, "a,b,c", "", f'd,"e{end}{end}e",f', "g,h,i", "", "j,k,l"]))
    assert [(start, cells) for start, cells in rows(path) if cells] == [
        (3, ["a", "b", "c"]),
        (5, ["d", f"e{end}{end}e", "f"]),
        (8, ["g", "h", "i"]),
        (10, ["j", "k", "l"]),
    ]


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("email;user_id;note", 3),
        ("email\tuser_id\tnote", 3),
        ('email;user_id;"first, middle, last, all"', 3),
        ('"email","user_id","a;b;c;d"', 3),
        ("sep=;\r\nemail;a,b,c;note", 3),
        ('"sep=,"\nemail;a;b;c,note', 2),
        ("SEP=\t\nemail\tnote", 2),
        ("email", 1),
    ],
)
def test_the_delimiter_is_learnt_from_the_header(tmp_path: Path, header: str, cells: int) -> None:
    """The delimiter is taken from the `sep=` line, or else detected in the header outside of quotes."""
    with CsvFile(written(tmp_path, header + "\n")) as file:
        assert len(file.header) == cells


def test_a_separator_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """A `sep=` line with an unsupported character is an error on line 1."""
    assert "people.csv:1: " in refusal(written(tmp_path, "sep=|\nemail|note\n"))


def test_spaces_before_a_quote_do_not_disarm_it(tmp_path: Path) -> None:
    """A delimiter in quotes is text even if a space stands before the quotes."""
    assert rows(written(tmp_path, HEADER + '\na, "b, c", d\n')) == [(2, ["a", "b, c", "d"])]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (HEADER.encode() + b"\na,b,c\n\nJos\xe9,b,c\nd,e,f\n", 4, "Windows-1252"),
        (HEADER.encode() + b'\r\na,"b\r\nb\rb",\x93c\x94\r\n', 4, "UTF-8"),
        (HEADER.encode() + b"\n" + b"a,b,c\n" * 40_000 + b"a,b,\xff\n" + b"a,b,c\n" * 40_000, 40_002, "UTF-8"),
        (HEADER.encode() + b"\na,b,c\xc3", 2, "UTF-8"),
        (b"\xff\xe9mail,user_id\n", 1, "UTF-8"),
        (f"{HEADER}\na,b,c\nd,e,".encode("utf-16") + b"\x00\xd8", 3, "UTF-16"),
        (f"\ufeff{HEADER}\r\na,b,c\r\nd,e,f".encode("utf-16-be") + b"\x00", 3, "UTF-16"),
    ],
)
def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path, content: bytes, line: int, words: str) -> None:
    """If bytes cannot be decoded, the file is refused with the physical line and a hint; no text is garbled."""
    refused = refusal(written(tmp_path, content))
    assert f"people.csv:{line}: " in refused
    assert words in refused


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_other_encodings_are_refused_with_a_hint(tmp_path: Path, encoding: str) -> None:
    """UTF-32, and UTF-16 without a byte order mark, are refused by name."""
    assert "UTF-16" in refusal(written(tmp_path, f"{HEADER}\na,b,c\n".encode(encoding)))


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (f'{HEADER}\na,b,c\nd,"e,f\ng,h,i\n', 3, "never closed"),
        (f'{HEADER}\n"a\na","b\nb","c\nd,e,f\n', 4, "never closed"),
        (f'{HEADER}\na,"b"x,c\n', 2, "after the closing quote"),
        (f'{HEADER}\na,"b" ,c\n', 2, "after the closing quote"),
        (f'{HEADER}\n\na,"b,c\nd,e,f\ng,"h",i\n', 3, "middle of line 5"),
        (f'{HEADER}\n"a', 2, "never closed"),
        ('email,"user_id\na,b\n', 1, "never closed"),
    ],
)
def test_quotes_that_do_not_match_are_named_by_line(tmp_path: Path, content: str, line: int, words: str) -> None:
    """An unbalanced quote refuses the file with the line on which it opens, and no row is silently lost."""
    refused = refusal(written(tmp_path, content))
    assert f"people.csv:{line}: " in refused
    assert words in refused


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lower the limits to cells of 20 and lines of 50 characters; restore the csv module's limit afterwards."""
    monkeypatch.setattr(csvfile, "MAX_CELL", 20)
    monkeypatch.setattr(textlines, "MAX_LINE", 50)
    limit = csv.field_size_limit()
    yield
    csv.field_size_limit(limit)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "large",
    [
        "x" * 21,
        "x" * 49,
        "x" * 200,
        '"' + "x" * 30 + '"',
        '"' + "x" * 300 + '"',
        '"' + "x\r\n" * 30 + '"',
        '"' + "x" * 48 + '\r\neve,evil,row\r\n"',
        '"' + 'x""' * 60 + '"',
        '"' + '""' * 60 + '"',
        '"x\r\n' + "eve,evil,row\r\n" * 20 + '"',
        '"' + "y" * 30 + '\r\n""\r\neve,evil,row\r\n"',
        " " * 60 + '"x\r\neve,evil,row\r\n"',
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_row_that_is_too_large_is_passed_over_whole(tmp_path: Path, large: str, place: int) -> None:
    """A row with an oversized cell is skipped whole: no part of it is read as a row, and line numbers stay right."""
    cells = ["a", "b", "c"]
    cells[place] = large
    row = ",".join(cells)
    path = written(tmp_path, f"{HEADER}\r\n{row}\r\nd,e,f\r\n{row}\r\n{row}\r\ng,h,i")
    height = row.count("\r\n") + 1
    assert rows(path) == [
        (2, None),
        (2 + height, ["d", "e", "f"]),
        (3 + height, None),
        (3 + 2 * height, None),
        (3 + 3 * height, ["g", "h", "i"]),
    ]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("length", range(44, 54))
def test_a_line_may_end_just_at_the_limit(tmp_path: Path, length: int) -> None:
    """Line numbers stay right even if the size limit falls between the CR and the LF of a line end."""
    for end in ("\r\n", "\r", "\n"):
        path = written(tmp_path, f"{HEADER}{end}{'a,' * (length // 2)}{'a' * (length % 2)}{end}d,e,f{end}")
        assert rows(path)[-1] == (3, ["d", "e", "f"])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("content", "line"),
    [
        (f'{HEADER}\na,b,"' + "c\n" * 100, 2),
        (f'{HEADER}\na,"b\nb","' + "c" * 100, 3),
        (f'{HEADER}\na,"' + "b" * 100 + '"x,c\n', 2),
        (f"{HEADER}x" * 10 + "\n", 1),
        (f'{HEADER},"{"x" * 30}"\na,b,c,d\n', 1),
    ],
)
def test_a_wrong_quote_in_a_large_row_refuses_the_file(tmp_path: Path, content: str, line: int) -> None:
    """A quote that is never closed is reported with its line even if the size limits are reached first."""
    assert f"people.csv:{line}: " in refusal(written(tmp_path, content))


def test_a_large_cell_below_the_limit_is_read(tmp_path: Path) -> None:
    """A cell of a million characters is read, although the standard library's default limit is lower."""
    large = "x" * csvfile.MAX_CELL
    assert rows(written(tmp_path, f"{HEADER}\n{large},b,c\n")) == [(2, [large, "b", "c"])]
    assert rows(written(tmp_path, f"{HEADER}\nx{large},b,c\nd,e,f\n")) == [(2, None), (3, ["d", "e", "f"])]


@pytest.mark.parametrize("content", ["", "\n\r\n \n", "\ufeff", "sep=;\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: str) -> None:
    """A file without a header is refused with an error message."""
    assert "empty" in refusal(written(tmp_path, content))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder, a pipe and a path with a NUL are each refused with their own message."""
    os.mkfifo(tmp_path / "pipe")
    for name, words in (
        ("none.csv", "file does not exist"),
        (".", "folder"),
        ("pipe", "not a regular file"),
        ("a\0b", "cannot be read"),
        ("pipe/x", "cannot be read"),
    ):
        assert words in refusal(tmp_path / name)
