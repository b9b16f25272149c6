"""The report's tables of steps and batches: `step_rows`, `batch_rows`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from campaign.model import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from campaign.sendlog import BatchCounts

#: The columns, with the states that each of them counts.
_COLUMNS = {
    "sent": (Status.SENT,),
    "bounced": (Status.BOUNCED,),
    "failed": (Status.FAILED,),
    "uncertain": (Status.UNCERTAIN,),
    "skipped": (Status.SKIPPED,),
    "waiting": (Status.QUEUED, Status.ISSUING, Status.SENDING),
}


class PartRow(NamedTuple):
    """One step or batch."""

    name: str
    #: When the batch was taken up (seconds since the epoch); None for a step.
    at: float | None
    number: int
    counts: Mapping[Status, int]
    #: The columns after the number: name and value.
    cells: list[tuple[str, int]]


def step_rows(steps: Mapping[str, Mapping[Status, int]]) -> list[PartRow]:
    """Return a row for each step; none in a campaign without steps."""
    return [_row(name, None, counts) for name, counts in steps.items()]


def batch_rows(batches: Sequence[BatchCounts]) -> list[PartRow]:
    """Return a row for each batch, if there are several."""
    if len(batches) < 2:
        return []
    return [_row(str(each.batch.number), each.batch.at, each.counts) for each in batches]


def _row(name: str, at: float | None, counts: Mapping[Status, int]) -> PartRow:
    cells = [(title, sum(counts.get(state, 0) for state in states)) for title, states in _COLUMNS.items()]
    return PartRow(name, at, sum(counts.values()), counts, cells)
