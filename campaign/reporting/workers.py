"""Show the runs that share a send log, as a table or as JSON: `worker_lines`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.table import Table

from campaign.clock import instant
from campaign.delivery.services import log_path
from campaign.errors import LogHeldError
from campaign.reporting.progress import as_text
from campaign.reporting.summary import number
from campaign.sendlog import held, workers_of
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.sendlog import LogLocation, WorkerState

_COLUMNS = ("worker", "campaign", "process", "host", "since", "heard of", "has", "lease")


def worker_lines(settings: Settings, definition: Definition | None, *, as_json: bool, sandbox: bool) -> Iterator[str]:
    """Yield the runs of one campaign, or of every campaign in the log.

    Raises:
        SendLogUnusableError: there is no log, or it cannot be read.
    """
    place = log_path(settings, definition, asked=sandbox)
    found = workers_of(place)
    if found is None:
        if not as_json:
            yield _of_file(place)
        return
    states = [each for each in found if definition is None or each.campaign == definition.name]
    if as_json:
        yield from (json.dumps(_object(each)) for each in states)
    elif not states:
        yield f"No run uses the send log {place} now."
    else:
        table = Table(*_COLUMNS, box=None, pad_edge=False)
        for each in states:
            table.add_row(*_cells(each))
        yield as_text(table)
        yield from _advice(states)


def _of_file(place: LogLocation) -> str:
    try:
        with held(place):
            return f"No run uses the send log {place} now. It is a file, which one run at a time can use."
    except LogHeldError:
        return f"One run uses the send log {place} now. It is a file, which one run at a time can use."


def _cells(each: WorkerState) -> tuple[str, ...]:
    rows = ((each.queued, "claimed"), (each.issuing, "issuing"), (each.sending, "sending"))
    return (
        str(each.id),
        printable(each.campaign),
        str(each.pid),
        printable(each.host),
        f"{instant(each.started_at):%Y-%m-%d %H:%M:%S UTC}",
        f"{each.silent_s:.0f} s ago",
        ", ".join(f"{count} {what}" for count, what in rows if count) or "nothing",
        f"late by {-each.lease_left_s:.0f} s" if each.is_late else "ends" if each.is_draining else "holds",
    )


def _advice(states: list[WorkerState]) -> Iterator[str]:
    late = sum(each.is_late for each in states)
    if late:
        yield (
            f"The lease of {number(late, 'worker')} has run out: the next run, or one that goes on, recovers the rows. "
            "A message that may be out becomes uncertain."
        )


def _object(each: WorkerState) -> dict[str, object]:
    return {
        "worker": each.id,
        "campaign": each.campaign,
        "host": each.host,
        "pid": each.pid,
        "version": each.version,
        "started_at": instant(each.started_at).isoformat(timespec="milliseconds"),
        "silent_s": round(each.silent_s, 1),
        "lease_left_s": round(each.lease_left_s, 1),
        "late": each.is_late,
        "draining": each.is_draining,
        "claimed": each.queued,
        "issuing": each.issuing,
        "sending": each.sending,
    }
