"""Write a plan as lines of text or as an object for JSON: `plan_lines`, `plan_object`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from campaign.reporting.plan import sentences
from campaign.reporting.progress import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from campaign.planning import Forecast, PlannedHour


@dataclass(frozen=True, slots=True)
class HourRange:
    """Successive hours of a day with the same number of messages each."""

    first: datetime
    last: datetime
    #: The messages of each step, in each of the hours.
    steps: tuple[int, ...]
    #: How many hours there are.
    length: int = 1

    @property
    def messages(self) -> int:
        """The messages of all hours and steps."""
        return sum(self.steps) * self.length


def shown_hours(plan: Forecast, days: int | None) -> Sequence[PlannedHour]:
    """Return the hours of the first days, counted from the beginning of the plan; None: of all days."""
    if days is None:
        return plan.hours
    first = plan.local(plan.start).date()
    return [hour for hour in plan.hours if (hour.start.date() - first).days < days]


def stretches(hours: Sequence[PlannedHour]) -> Iterator[HourRange]:
    """Yield the hours with messages; like ones that follow each other on a day are put together."""
    for _, same_day in groupby(hours, key=lambda hour: hour.start.date()):
        stretch: HourRange | None = None
        for hour in same_day:
            apart = (hour.start.timestamp() - stretch.last.timestamp()) if stretch else 0.0
            if stretch is not None and stretch.steps == hour.steps and apart == 3600:
                stretch = replace(stretch, last=hour.start, length=stretch.length + 1)
                continue
            if stretch is not None:
                yield stretch
            stretch = HourRange(hour.start, hour.start, hour.steps)
        if stretch is not None:
            yield stretch


def plan_lines(plan: Forecast, *, days: int | None) -> Iterator[str]:
    """Yield a plan as text: a table by hour, when the last email goes out, what is assumed, and warnings."""
    yield sentences.summary(plan)
    hours = shown_hours(plan, days)
    if hours:
        yield as_text(_table(plan, hours))
    if later := plan.messages - sum(hour.messages for hour in hours):
        yield f"{later:,} more go out later: add --days and a larger number to see them."
    yield sentences.ending(plan)
    if left_out := sentences.left_out(plan):
        yield left_out
    yield from sentences.assumptions(plan)
    for warning in sentences.warnings(plan):
        yield f"warning: {warning}"


def plan_object(plan: Forecast, *, days: int | None) -> dict[str, Any]:
    """Return the object that `campaign plan --json` prints."""
    hours, tally, names = shown_hours(plan, days), plan.tally, plan.definition.step_names
    return {
        "campaign": plan.definition.name,
        "file": str(plan.definition.recipients.file),
        "start": plan.local(plan.start).isoformat(timespec="seconds"),
        "zone": plan.zone.key if plan.zone else None,
        "recipients": plan.csv.recipients,
        "messages": plan.messages,
        "last_at": plan.local(tally.last_at).isoformat(timespec="seconds") if plan.messages else None,
        "hours": [
            {"at": hour.start.isoformat(), "messages": hour.messages}
            | ({"steps": dict(zip(names, hour.steps, strict=True))} if names != ("",) else {})
            for hour in hours
        ],
        "later": plan.messages - sum(hour.messages for hour in hours),
        "left_out": dict(plan.csv.left_out),
        "invalid": {"rows": tally.invalid.number, "first_line": tally.invalid.first or None},
        "too_late_already": {"messages": tally.stale.number, "first_line": tally.stale.first or None},
        "too_late": {"messages": tally.too_late.number, "first_line": tally.too_late.first or None},
        "short_links": {"messages": tally.short_links.number, "first_line": tally.short_links.first or None},
        "assumptions": sentences.assumptions(plan),
        "warnings": sentences.warnings(plan),
    }


def _table(plan: Forecast, hours: Sequence[PlannedHour]) -> Table:
    names = plan.definition.step_names
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("day")
    table.add_column("hours")
    for name in names if len(names) > 1 else ():
        table.add_column(escape(name), justify="right")
    table.add_column("an hour", justify="right")
    table.add_column("so far", justify="right")
    so_far, before = 0, ""
    for stretch in stretches(hours):
        so_far += stretch.messages
        today = sentences.day(stretch.first)
        table.add_row(
            today if today != before else "",
            f"{stretch.first:%H}-{(stretch.last.hour + 1):02}",
            *(f"{number:,}" for number in stretch.steps if len(names) > 1),
            f"{sum(stretch.steps):,}",
            f"{so_far:,}",
        )
        before = today
    return table
