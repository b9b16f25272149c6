"""Say what queued rows wait for, and what to type when they are due: `what_waits`."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.model import Waiting

if TYPE_CHECKING:
    from datetime import tzinfo

    from campaign.sendlog import Summary

#: What a run does not stay for, without a fault: the row's time comes later.
LATER = (Waiting.DUE, Waiting.WINDOW, Waiting.STEP, Waiting.CAP, Waiting.QUOTA, Waiting.BATCH)
_FOR = {
    Waiting.RETRY: "for their next attempt",
    Waiting.DUE: "for their due time",
    Waiting.WINDOW: "for the hours and days at which they may be mailed",
    Waiting.STEP: "for the step before",
    Waiting.BATCH: "for a later batch",
    Waiting.CAP: "because their address had its share of mails (limits.per_recipient)",
    Waiting.QUOTA: "for a quota",
    Waiting.RECHECK: "for the site's answer (recheck.url)",
}


def later(summary: Summary) -> int:
    """Return how many rows of the CSV are queued only because their time comes later."""
    return sum(summary.waiting.get(kind, 0) for kind in LATER)


def what_waits(summary: Summary, *, zone: tzinfo | None, run: str) -> list[str]:
    """Return a sentence about the spent quota, if one is, and one about all rows that wait.

    Args:
        summary: the counts.
        zone: in which instants are shown; None is UTC.
        run: the end of the command line for `campaign run`.
    """
    lines = []
    if summary.quota and summary.quota_until and summary.waiting.get(Waiting.QUOTA):
        quota = summary.quota[:1].upper() + summary.quota[1:]
        lines.append(f"{quota}; the next message can go out {shown(summary.quota_until, zone)}.")
    counts = [(number, _FOR[kind]) for kind in _FOR if (number := summary.waiting.get(kind, 0))]
    if not counts:
        return lines
    told = ", ".join(f"{number:,} {what}" for number, what in counts)
    when = f" The next is due {shown(summary.next_due, zone)}." if summary.next_due else ""
    return [*lines, f"Waiting: {told}.{when} To send what is due: campaign run {run}."]


def shown(seconds: float, zone: tzinfo | None) -> str:
    """Return an instant (seconds since the epoch) as `on Thu 2026-12-24 at 09:00 CET`."""
    return instant(seconds).astimezone(zone or UTC).strftime("on %a %Y-%m-%d at %H:%M %Z")
