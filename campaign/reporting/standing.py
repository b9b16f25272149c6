"""Say how far the steps and batches of a campaign are: `standing`, and `as_objects` for `status --json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.model import Status, Waiting
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from campaign.sendlog import BatchCounts, Summary

_IS_READING = (
    "A CSV is being read, or its reading was interrupted: part of its rows are counted here. No run sends a row of it "
    "before it is read to its end; if none reads it now, campaign run does."
)


def standing(summary: Summary, batches: Sequence[BatchCounts]) -> list[str]:
    """Return a line for each step, for each batch if there is more than one, and one if a CSV is half read."""
    lines = [_IS_READING] if summary.is_reading else []
    lines += [f"Step {printable(name)}: {_told(counts)}." for name, counts in summary.steps.items()]
    if len(batches) > 1 or Waiting.BATCH in summary.waiting:
        lines += [
            f"Batch {each.batch.number} of {_moment(each.batch.at)}, {each.batch.size:,} new: {_told(each.counts)}."
            for each in batches
        ]
    return lines


def as_objects(summary: Summary, batches: Sequence[BatchCounts]) -> dict[str, Any]:
    """Return the same for `status --json`, and what queued rows wait for."""
    return {
        "waiting": {str(kind): number for kind, number in summary.waiting.items()},
        "next_due": _iso(summary.next_due),
        "quota": {"reason": summary.quota, "until": _iso(summary.quota_until)} if summary.quota else None,
        "steps": {name: _states(counts) for name, counts in summary.steps.items()},
        "reading": summary.is_reading,
        "batches": [
            {
                "number": each.batch.number,
                "at": _iso(each.batch.at),
                "size": each.batch.size,
                **_states(each.counts),
            }
            for each in batches
        ],
    }


def _moment(seconds: float) -> str:
    """Return an instant as the terminal shows it: `2026-03-03 09:00 UTC`."""
    return f"{instant(seconds):%Y-%m-%d %H:%M} UTC"


def _told(counts: Mapping[Status, int]) -> str:
    return ", ".join(f"{counts[state]:,} {state}" for state in Status if counts.get(state)) or "nothing"


def _states(counts: Mapping[Status, int]) -> dict[str, int]:
    return {str(state): counts[state] for state in Status if counts.get(state)}


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else instant(seconds).isoformat(timespec="milliseconds")
