"""Export a suppression list as text: `suppression_lines`, in CSV or one JSON object a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.recipients.suppression_file import FIELDS
from campaign.reporting.log_export import csv_line, escape_formula

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from campaign.sendlog import Suppression


def suppression_lines(entries: Iterable[Suppression], *, form: str) -> Iterator[str]:
    """Yield one line for each suppression, with its line end; in CSV the header first.

    Args:
        entries: the suppressions.
        form: `csv` or `jsonl`.
    """
    if form == "csv":
        yield csv_line(FIELDS)
    for entry in entries:
        at = instant(entry.at).isoformat(timespec="seconds")
        cells = (entry.address, entry.mailing_list, entry.reason, at, entry.campaign, entry.key)
        if form == "csv":
            yield csv_line(map(escape_formula, cells))
        else:
            yield json.dumps(dict(zip(FIELDS, cells, strict=True)), ensure_ascii=False) + "\n"
