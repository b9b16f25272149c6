"""Export the send log: `statuses` and `lines` for the terminal or other programs, `log_of` for the sandbox's inbox."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from campaign.delivery.services import log_path, sandbox_log
from campaign.errors import SendLogUnusableError
from campaign.model import Status
from campaign.sendlog import FIELDS, LogReader, exists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.sendlog import LogLocation

#: A spreadsheet reads a cell that starts with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def lines(settings: Settings, definition: Definition, *, state: str | None, form: str, sandbox: bool) -> Iterator[str]:
    """Yield one line for each recipient, with its line end.

    Raises:
        SendLogUnusableError: the log is missing, cannot be read, or does not contain the campaign.
    """
    reader = LogReader(log_path(settings, definition, asked=sandbox))
    records = reader.recipients(definition.name, state=Status(state) if state else None)
    try:
        if form == "csv":
            yield csv_line(FIELDS)
        for record in records:
            yield json.dumps(record, ensure_ascii=False) + "\n" if form == "jsonl" else _cells(record)
    finally:
        # close the records before the reader: the caller may stop before the last record
        records.close()
        reader.close()


def escape_formula(value: object) -> object:
    """Return a cell that no spreadsheet reads as a formula: a value that looks like one gets a leading apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _cells(record: dict[str, Any]) -> str:
    return csv_line(map(escape_formula, record.values()))


def csv_line(cells: Any) -> str:  # noqa: ANN401 - any iterable of cells
    """Return one line of a CSV, with its line end."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def log_of(settings: Settings) -> Callable[[str], dict[str, object] | None]:
    """Return a function from a Message-ID to its recipient's record, or to None if no log contains it.

    The function searches the sandbox's log first, then the log of the settings: a run that was started with the
    sandbox's addresses writes to that one.
    """

    def found(message_id: str) -> dict[str, object] | None:
        for path in (sandbox_log(settings), settings.log_of(None)):
            if exists(path):
                try:
                    record = _recorded(path, message_id)
                except SendLogUnusableError as error:
                    return {"state": "unreadable", "why": str(error)}
                if record is not None:
                    return record
        return None

    return found


def _recorded(path: LogLocation, message_id: str) -> dict[str, object] | None:
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
