"""Show the counts of one campaign, or of all in a send log, as tables or as JSON: `statuses`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from campaign.delivery.services import clock_of, log_path
from campaign.model import Status
from campaign.reporting.causes import causes
from campaign.reporting.later import what_waits
from campaign.reporting.progress import as_text
from campaign.reporting.standing import as_objects, standing
from campaign.reporting.summary import advice, table
from campaign.sendlog import LogReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.sendlog import Summary

#: How many batches are shown, the last ones.
_BATCHES = 5


def statuses(
    settings: Settings, definition: Definition | None, *, as_json: bool, sandbox: bool, file: Path | None
) -> Iterator[str]:
    """Yield the counts of one campaign, or of every campaign in the log.

    Raises:
        SendLogUnusableError: there is no log, or it cannot be read.
    """
    path = log_path(settings, definition, asked=sandbox)
    reader = LogReader(path)
    moved = reader.moved()
    now = clock_of(settings, path).now()
    try:
        zone = definition.schedule.default_zone if definition else None
        names = [definition.name] if definition else reader.campaigns()
        for name in names:
            summary = reader.summary(name, now=now)
            batches = reader.batches(name, limit=_BATCHES)
            if as_json:
                yield json.dumps(counts(summary) | as_objects(summary, batches) | {"moved_to": reader.moved_to()})
            else:
                yield f"{name} ({reader.place})"
                yield as_text(table(summary, causes(reader.explanations(name))))
                yield from standing(summary, batches)
                yield from what_waits(summary, zone=zone, run=str(file or "FILE"))
                if moved is None:
                    yield from advice(summary, command=str(file or "FILE"), run=str(file or "FILE"))
        if moved is not None and not as_json:
            yield f"These are the counts of then: {moved}."
    finally:
        reader.close()


def counts(summary: Summary) -> dict[str, Any]:
    """Return the counts of the object that `status --json` prints."""
    states = {str(status): summary[status] for status in Status}
    return {"campaign": summary.campaign, "recipients": summary.recipients, **states}
