"""Refuse a header that is none, with the reason: a title above it, or an unknown delimiter: `refuse_wrong_header`."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from campaign.errors import RecipientsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from campaign.recipients.csvfile import CsvFile

#: Lines that are searched for the header.
_LINES_SEARCHED = 20
_DELIMITER = re.compile("[,;\t|]")
#: What separates columns in files that are no CSV: one or several characters that are in no column's name.
_FOREIGN = re.compile(r"[|:^~/]+|\s{2,}")


def refuse_wrong_header(file: CsvFile, *, wanted: str, name: Callable[[str], str]) -> None:
    """Raise if the header lacks a column for a reason that its cells show.

    Args:
        file: the CSV, of which only the header was read.
        wanted: a column that every header has.
        name: returns the name of the column for a cell of the header.

    Raises:
        RecipientsError: another line is the header, or the columns are separated by another character.
    """

    def has_column(cells: Iterable[str]) -> bool:
        return any(name(cell.strip(' "')) == wanted for cell in cells)

    if has_column(file.header):
        return
    if len(file.header) == 1 and (found := _FOREIGN.search(file.header[0])):
        parts = file.header[0].split(found[0])
        if has_column(parts):
            file.fail(
                f'the columns are separated by "{found[0]}"; separate them by commas, semicolons or tabs: open the '
                'file in a spreadsheet with this separator, and save it as "CSV UTF-8".',
                file.header_line,
            )
    header_line = None
    with suppress(RecipientsError):
        for start, _, cells in islice(file.rows(), _LINES_SEARCHED):
            if cells and has_column(part for cell in cells for part in _DELIMITER.split(cell)):
                header_line = start
                break
    if header_line:
        file.fail(
            f"this line is not the header: the names of the columns are on line {header_line}. Delete the lines above "
            "it, so that the header is the first line.",
            file.header_line,
        )
