"""Read a file of addresses that must get no mail, for `campaign suppress import`: `read_suppressions`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from campaign.config.address import normalise_address
from campaign.recipients.csvfile import CsvFile
from campaign.sendlog import Suppression

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The columns of `campaign suppress export`; only `email` is needed.
FIELDS = ("email", "list", "reason", "at", "campaign", "key")


def read_suppressions(path: Path, *, mailing_list: str, reason: str, now: float) -> Iterator[Suppression]:
    """Yield the entries of a CSV with a column `email`, or of a text with one address on each line.

    Args:
        path: the file; columns `list, reason, at, campaign, key` are read if it has them.
        mailing_list: the list of rows that name none; empty for all lists.
        reason: the reason of rows that give none.
        now: the instant of rows that give none (seconds since the epoch).

    Raises:
        RecipientsError: the file cannot be read, or a row has no plain address or no valid time; the text names the
            line.
    """
    common = {"list": mailing_list, "reason": reason}
    with CsvFile(path) as file:
        header = [cell.strip().lower() for cell in file.header]
        if len(header) == 1 and "@" in header[0]:
            yield _entry(file, file.header_line, common | {"email": header[0]}, now)
            header = ["email"]
        if "email" not in header:
            file.fail("there is no column email; name it so, or give one address on each line.", file.header_line)
        for line, _, cells in file.rows():
            if cells is None:
                file.fail("the row is too large.", line)
            if any(cell.strip() for cell in cells):
                values = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
                yield _entry(file, line, common | values, now)


def _entry(file: CsvFile, line: int, values: dict[str, str], now: float) -> Suppression:
    # `campaign log` and `suppress export` put an apostrophe before what a spreadsheet would read as a formula
    values = {name: value.removeprefix("'") for name, value in values.items()}
    try:
        address = normalise_address(values.get("email", "")).lower()
        at = _instant(values["at"]) if values.get("at") else now
    except ValueError as error:
        file.fail(f"{error} Correct the row, or remove it; nothing was imported.", line)
    return Suppression(
        address,
        values["list"],
        values["reason"],
        at,
        values.get("campaign", ""),
        values.get("key", ""),
    )


def _instant(text: str) -> float:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write one like 2026-11-27T09:00:00Z.") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
