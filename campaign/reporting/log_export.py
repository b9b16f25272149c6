"""The send log for a terminal, a spreadsheet or another program, and one recipient of it for the sandbox's inbox."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from campaign.clock import SystemClock
from campaign.delivery.services import log_path
from campaign.errors import SendLogUnusableError
from campaign.model import Status
from campaign.reporting.progress import as_text
from campaign.reporting.summary import advice, table
from campaign.sendlog import FIELDS, LogReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.model import Summary

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
                yield from advice(summary, command=str(file or "FILE"), run=str(file or "FILE"))
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


def escape_formula(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe stands before what looks like one."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _cells(record: dict[str, Any]) -> str:
    return _csv_line(map(escape_formula, record.values()))


def _csv_line(cells: Any) -> str:  # noqa: ANN401 - any iterable of cells
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def log_of(settings: Settings) -> Callable[[str], dict[str, object] | None]:
    """Return what tells of a Message-ID's recipient, for the sandbox's inbox; None where no log knows it.

    It looks into the sandbox's log, then into that of a run that was given the sandbox's addresses.
    """

    def found(message_id: str) -> dict[str, object] | None:
        for path in (settings.sandbox / "send-log.db", settings.log):
            if path.exists():
                try:
                    record = _recorded(path, message_id)
                except SendLogUnusableError as error:
                    return {"state": "unreadable", "why": str(error)}
                if record is not None:
                    return record
        return None

    return found


def _recorded(path: Path, message_id: str) -> dict[str, object] | None:
    reader = LogReader(path)
    try:
        found = reader.by_message_id(message_id)
    finally:
        reader.close()
    if found is None:
        return None
    campaign, record = found
    later = record["message_id"] != message_id
    return {
        "state": record["state"],
        "reason": record["reason"],
        "campaign": campaign,
        "key": record["key"],
        "attempts": record["attempts"],
        "reply": " ".join(str(part) for part in (record["code"], record["reply"]) if part is not None),
        "message": "An earlier message; the log has a later one." if later else None,
        "since": f"{datetime.fromisoformat(record['updated_at']).astimezone():%d %b, %H:%M:%S}",
    }
