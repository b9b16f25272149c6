"""The send log for a terminal, a spreadsheet or another program: `campaign status` and `campaign log`."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from campaign.clerk import Revocation
from campaign.clock import SystemClock
from campaign.closing import advice, table
from campaign.model import Status
from campaign.report import as_text
from campaign.sendlog import FIELDS, LogReader
from campaign.venue import log_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.definition import Definition
    from campaign.model import Summary
    from campaign.settings import Settings

#: What a spreadsheet would take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def statuses(
    settings: Settings, definition: Definition | None, *, as_json: bool, sandbox: bool, file: Path | None
) -> Iterator[str]:
    """Yield the counts of one campaign, or of every campaign in the log.

    Raises:
        SendLogUnusableError: there is no log, or it cannot be read.
    """
    reader, now = LogReader(log_path(settings, asked=sandbox)), SystemClock().now()
    try:
        names = [definition.name] if definition else reader.campaigns()
        for name in names:
            summary = reader.summary(name, now=now)
            if as_json:
                yield json.dumps(counts(summary))
            else:
                yield f"{name} ({reader.path})"
                yield as_text(table(summary, reader.reasons(name)))
                used = Counter({Revocation.USED: summary.used_before_revoked})
                yield from advice(summary, used, command=str(file or "FILE"), run=str(file or "FILE"))
    finally:
        reader.close()


def counts(summary: Summary) -> dict[str, Any]:
    """Return the object that `status --json` prints."""
    states = {str(status): summary[status] for status in Status}
    return {"campaign": summary.campaign, "recipients": summary.recipients, **states}


def lines(settings: Settings, definition: Definition, *, state: str | None, form: str, sandbox: bool) -> Iterator[str]:
    """Yield the log, a line a recipient, with its line end.

    Raises:
        SendLogUnusableError: there is no log, it cannot be read, or does not know the campaign.
    """
    reader = LogReader(log_path(settings, asked=sandbox))
    records = reader.recipients(definition.name, state=Status(state) if state else None)
    try:
        if form == "csv":
            yield _csv_line(FIELDS)
        for record in records:
            yield json.dumps(record, ensure_ascii=False) + "\n" if form == "jsonl" else _cells(record)
    finally:
        # before the reader: whoever reads may have enough amid the records
        records.close()
        reader.close()


def harmless(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe stands before what looks like one."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _cells(record: dict[str, Any]) -> str:
    return _csv_line(map(harmless, record.values()))


def _csv_line(cells: Any) -> str:  # noqa: ANN401 - any iterable of cells
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
