"""Say what the queued rows of a campaign wait for, and how far its steps and batches are: `standing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.model import Status, Waiting
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from campaign.sendlog import BatchCounts, Summary

#: What each wait is for, after a number of mails.
MEANING = {
    Waiting.RETRY: "for another attempt",
    Waiting.DUE: "for their due time",
    Waiting.WINDOW: "for the hours of their recipients",
    Waiting.STEP: "for the step before them",
    Waiting.BATCH: "for a later batch",
    Waiting.CAP: "because their addresses had enough mails lately",
    Waiting.QUOTA: "for the quota",
    Waiting.RECHECK: "for the site's answer whether they are still wanted",
}


def waiting_sentence(summary: Summary) -> str | None:
    """Return one sentence: how many mails wait for what, and when the next one is due; None if none waits."""
    if not summary.waiting:
        return None
    parts = [f"{summary.waiting[kind]:,} {MEANING[kind]}" for kind in MEANING if kind in summary.waiting]
    sentence = f"Waiting: {', '.join(parts)}."
    if summary.quota_until is not None:
        sentence += f" Until {moment(summary.quota_until)} {printable(summary.quota)}."
    if summary.next_due is not None:
        sentence += f" The next is due on {moment(summary.next_due)}."
    return sentence


def standing(summary: Summary, batches: Sequence[BatchCounts]) -> list[str]:
    """Return a line for each step and batch, and what the queued rows wait for."""
    lines = [f"Step {printable(name)}: {_told(counts)}." for name, counts in summary.steps.items()]
    if len(batches) > 1 or Waiting.BATCH in summary.waiting:
        lines += [
            f"Batch {each.batch.number} of {moment(each.batch.at)}, {each.batch.size:,} new: {_told(each.counts)}."
            for each in batches
        ]
    waiting = waiting_sentence(summary)
    return [*lines, waiting] if waiting else lines


def as_objects(summary: Summary, batches: Sequence[BatchCounts]) -> dict[str, Any]:
    """Return the same for `status --json`: waiting, next_due, quota, steps and batches."""
    return {
        "waiting": {str(kind): number for kind, number in summary.waiting.items()},
        "next_due": _iso(summary.next_due),
        "quota": {"reason": summary.quota, "until": _iso(summary.quota_until)} if summary.quota else None,
        "steps": {name: _states(counts) for name, counts in summary.steps.items()},
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


def moment(seconds: float) -> str:
    """Return an instant as the terminal shows it: `2026-03-03 09:00 UTC`."""
    return f"{instant(seconds):%Y-%m-%d %H:%M} UTC"


def _told(counts: Mapping[Status, int]) -> str:
    return ", ".join(f"{counts[state]:,} {state}" for state in Status if counts.get(state)) or "nothing"


def _states(counts: Mapping[Status, int]) -> dict[str, int]:
    return {str(state): counts[state] for state in Status if counts.get(state)}


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else instant(seconds).isoformat(timespec="milliseconds")
