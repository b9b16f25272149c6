"""Read recipients from a CSV, and the rows that cannot be mailed: `read_recipients`. `csvfile.py` parses the CSV."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.config.address import normalise_address
from campaign.config.definition.sections import RESERVED
from campaign.config.definition.toml_file import nearest
from campaign.errors import RecipientsError
from campaign.model import InvalidRow, Recipient
from campaign.recipients.csvfile import MAX_CELL, CsvFile
from campaign.recipients.grouping import grouped
from campaign.recipients.textlines import open_regular
from campaign.recipients.wrong_header import refuse_wrong_header
from campaign.recipients.wrong_key import KeyCheck

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from campaign.config.definition import RecipientsSection

__all__ = ["fingerprint", "normalise_address", "read_recipients", "variable_name"]

#: Clerk's ids are `user_`, then letters and digits; an id that matches here needs no escaping in a URL or in JSON.
_USER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: C0 except tab and line ends, DEL, C1, and characters that reorder the text around them (UAX #9 §2.1, §2.2, §2.4).
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_MAX_KEY = 200
#: Characters of an invalid address that are kept.
_MAX_KEPT_CHARS = 320


def read_recipients(
    path: Path, section: RecipientsSection, *, needs_user_id: bool = True
) -> Generator[Recipient | InvalidRow, None, None]:
    """Yield the recipients of a CSV and its invalid rows, in the order of the file.

    The file is read lazily, in bounded memory. Blank rows are skipped. Without `group`, each row is yielded, even if
    its key was seen before. With `group`, rows that share a key become one recipient, in the place of the first row.

    Args:
        path: the CSV.
        section: names the key column and the group, if there is one.
        needs_user_id: whether each recipient must have a Clerk id in the CSV; with `lookup`, no id is read.

    Raises:
        RecipientsError: the file as a whole cannot be used; also raised after some rows were yielded.
    """
    with CsvFile(path) as file:
        columns = _columns(file, section, needs_user_id=needs_user_id)
        rows = _rows(file, columns, KeyCheck(file.header[columns.key].strip()), shares_keys=section.group is not None)
        yield from grouped(rows, section.group) if section.group else rows


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of the file's bytes in hexadecimal.

    Raises:
        RecipientsError: the file cannot be read.
    """
    with open_regular(path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise RecipientsError(
                f"{path}: reading failed ({error.strerror}); copy the file to another disk and name the copy."
            ) from None


def _rows(file: CsvFile, columns: _Columns, keys: KeyCheck, *, shares_keys: bool) -> Iterator[Recipient | InvalidRow]:
    empty = True
    for start, end, cells in file.rows():
        row = columns.read(start, end, cells)
        if row is not None:
            empty = False
            if rounded := keys.rounded(row.key):
                file.fail(rounded, row.line)
            if isinstance(row, Recipient) and not shares_keys:
                keys.count(row.key)
            yield row
    if shared := keys.shared():
        file.fail(shared, file.header_line)
    if empty:
        file.fail("there are no rows below the header; add one for each recipient.", file.header_line)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Positions of the columns in a row."""

    #: The names of the variables, in the order of the file.
    names: tuple[str, ...]
    email: int
    #: None: no user id is read.
    user_id: int | None
    #: Whether a row without a user id is invalid.
    needs_user_id: bool
    key: int

    def read(self, start: int, end: int, cells: list[str] | None) -> Recipient | InvalidRow | None:
        """Return the recipient or the invalid row, or None if the row is blank."""
        if cells is None:
            reason = f"The row is too large: a cell can have at most {MAX_CELL:,} characters."
            return InvalidRow("", "", None, reason, start)
        values = [cell.strip() for cell in cells]
        if not any(values):
            return None
        try:
            return self._recipient(start, end, cells, values)
        except ValueError as error:
            reason = str(error)
        key, email, user_id = (
            _UNSAFE.sub("\ufffd", values[column])[:limit] if column is not None and column < len(values) else ""
            for column, limit in ((self.key, _MAX_KEY), (self.email, _MAX_KEPT_CHARS), (self.user_id, 64))
        )
        if self.key == self.email:
            with suppress(ValueError):
                key = normalise_address(key)
            key = key.lower()
        return InvalidRow(key, email, user_id if _USER_ID.fullmatch(user_id) else None, reason, start)

    def _recipient(self, start: int, end: int, cells: list[str], values: list[str]) -> Recipient:
        if len(values) > len(self.names) and not any(values[len(self.names) :]):
            del values[len(self.names) :], cells[len(self.names) :]  # a spreadsheet's empty columns
        if len(values) != len(self.names):
            raise ValueError(_wrong_number(len(values), len(self.names), start, end))
        together = "".join(cells)
        if not together.isprintable() and (found := _UNSAFE.search(together)):
            column = next(name for name, cell in zip(self.names, cells, strict=True) if found[0] in cell)
            raise ValueError(f"The cell {column} contains the control character U+{ord(found[0]):04X}.")
        try:
            email = normalise_address(values[self.email])
        except ValueError as error:
            raise ValueError(f"The address cannot be mailed: {error}") from None
        user_id = None
        if self.user_id is not None:
            user_id = values[self.user_id]
            if not _USER_ID.fullmatch(user_id):
                if self.needs_user_id:
                    raise ValueError(
                        "The user_id is not a Clerk user id (user_…)." if user_id else "The user_id is empty."
                    )
                user_id = None
        key = email.lower() if self.key == self.email else values[self.key]
        if not key or len(key) > _MAX_KEY or not key.isprintable():
            name = self.names[self.key]
            raise ValueError(
                f"The key {name} is longer than {_MAX_KEY} characters or contains a line break."
                if key
                else f"The key {name} is empty."
            )
        variables = dict(zip(self.names, values, strict=True))
        variables["email"] = email
        return Recipient(key, email, user_id, variables, start)


def _wrong_number(found: int, wanted: int, start: int, end: int) -> str:
    reason = f"The row has {found} cell{'s' * (found != 1)}, but the header has {wanted}"
    return f"{reason}; it ends on line {end}: is a quote not closed?" if end > start else f"{reason}."


def _columns(file: CsvFile, section: RecipientsSection, *, needs_user_id: bool) -> _Columns:
    refuse_wrong_header(file, wanted="email", name=lambda cell: variable_name(cell).lower())
    names = _variables(file)
    plain = [name.lower() for name in names]

    def place(column: str, why: str) -> int:
        wanted = variable_name(column).lower()
        if wanted not in plain:
            near = nearest(wanted, plain)
            hint = f'; if "{file.header[plain.index(near)].strip()}" is the one, rename it' if near else ""
            file.fail(
                f'the column "{column}" is missing; {why}. The columns are {_listed(names)}{hint}.', file.header_line
            )
        return plain.index(wanted)

    email = place("email", "every campaign needs it")
    reads_id = section.lookup is None and (needs_user_id or "user_id" in plain)
    user_id = (
        place("user_id", 'sign-in links need it; if you have no user ids, write lookup = "email"') if reads_id else None
    )
    key = place(section.key, "[recipients] key names it")
    if section.group and section.group.lower() in plain:
        file.fail(
            f'[recipients] group is "{section.group}", but a column has this name; choose another name for the group.',
            file.header_line,
        )
    return _Columns(names, email, user_id, needs_user_id, key)


def _variables(file: CsvFile) -> tuple[str, ...]:
    """Return the names of the columns in templates."""
    blank = [number for number, cell in enumerate(file.header, start=1) if not cell.strip()]
    if blank:
        file.fail(f"the header is empty in column {_listed(blank)}; name the column or remove it.", file.header_line)
    seen: dict[str, str] = {}
    names = []
    for cell in file.header:
        name = variable_name(cell)
        if not name or _UNSAFE.search(cell):
            file.fail(f"the header {cell!r} cannot become a variable name; write letters and digits.", file.header_line)
        if name.lower() in RESERVED:
            file.fail(
                f'the column "{cell.strip()}" has the name of a variable that the program gives to templates; rename '
                "the column.",
                file.header_line,
            )
        if name.lower() in seen:
            file.fail(
                f'the columns "{seen[name.lower()]}" and "{cell.strip()}" have the same name; rename one of them.',
                file.header_line,
            )
        seen[name.lower()] = cell.strip()
        names.append(name)
    return tuple(names)


def variable_name(header: str) -> str:
    """Return the variable name for a header: unchanged if it is an identifier, else in snake_case."""
    text = unicodedata.normalize("NFC", header.strip())
    if text.isidentifier():
        return text.lower() if text.lower() in {"email", "user_id"} else text
    name = re.sub(r"\W+", "_", text).strip("_").lower()
    return name if not name or name.isidentifier() else f"_{name}"


def _listed(names: Sequence[object]) -> str:
    *others, last = map(str, names)
    return f"{', '.join(others)} and {last}" if others else last
