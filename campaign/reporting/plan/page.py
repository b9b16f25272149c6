"""Write a plan as one self-contained HTML page: `plan_page`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING

from markupsafe import Markup

from campaign.reporting.plan import sentences
from campaign.reporting.plan.text import shown_hours
from campaign.reporting.report import charts
from campaign.reporting.report.charts import Series, Unit
from campaign.reporting.report.rendering import rendered
from campaign.reporting.report.timeline import timeline
from campaign.reporting.summary import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from campaign.planning import Forecast, PlannedHour

#: Marks a file as a plan, which a newer plan may overwrite; it stands at the beginning of the page.
MARK = '<meta name="generator" content="campaign plan">'
#: The colours of the steps, from the first on.
_LOOKS = ("sent", "sending", "uncertain", "queued", "clerk", "skipped")
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class PlannedDay:
    """A row of the page's table."""

    name: str
    #: The first hour and the end of the last one.
    hours: str
    #: (look, step, messages)
    parts: Sequence[tuple[str, str, int]]
    messages: int
    #: In the fullest hour.
    most: int
    so_far: int


def plan_page(plan: Forecast, *, days: int | None) -> str:
    """Return a plan as HTML; with `days`, of only that many days from its beginning on."""
    hours = shown_hours(plan, days)
    steps = [step or "messages" for step in plan.definition.step_names]
    shown = list(_days(hours, steps))
    title, chart = _chart(hours, steps)
    context = {
        "name": plan.definition.name,
        "start": sentences.moment(plan.local(plan.start)),
        "zone": plan.zone.key if plan.zone else "this machine's time",
        "source": plan.definition.recipients.file.name,
        "result": f"At most {number(plan.messages, 'email')} to {number(plan.csv.recipients, 'recipient')}.",
        "ending": sentences.ending(plan),
        "left_out": sentences.left_out(plan),
        "warnings": sentences.warnings(plan),
        "assumptions": sentences.assumptions(plan),
        "days": shown,
        "fullest": max((day.messages for day in shown), default=0),
        "legend": _parts(hours, steps),
        "chart_title": title,
        "chart": chart,
        "later": plan.messages - sum(hour.messages for hour in hours),
    }
    return rendered((resources.files(__package__) / "page.html").read_text("utf-8"), context)


def _days(hours: Sequence[PlannedHour], steps: Sequence[str]) -> Iterator[PlannedDay]:
    so_far = 0
    for _, same_day in groupby(hours, key=lambda hour: hour.start.date()):
        found = list(same_day)
        messages = sum(hour.messages for hour in found)
        so_far += messages
        yield PlannedDay(
            sentences.day(found[0].start),
            f"{found[0].start:%H}:00 to {found[-1].start.hour + 1:02}:00",
            _parts(found, steps),
            messages,
            max(hour.messages for hour in found),
            so_far,
        )


def _parts(hours: Sequence[PlannedHour], steps: Sequence[str]) -> list[tuple[str, str, int]]:
    return [(_look(place), step, sum(hour.steps[place] for hour in hours)) for place, step in enumerate(steps)]


def _look(step: int) -> str:
    return _LOOKS[step % len(_LOOKS)]


def _chart(hours: Sequence[PlannedHour], steps: Sequence[str]) -> tuple[str, Markup]:
    """Draw the hours by the time on the wall, since the chart's axis knows no zones; return a title and the chart."""
    walls = [hour.start.replace(tzinfo=UTC).timestamp() for hour in hours]
    time = timeline(((wall, wall + _HOUR_S - 1) for wall in walls), finest=_HOUR_S)
    if time is None:
        return "", Markup()
    width = f"{time.width / _HOUR_S:.0f} hours"
    name = {_HOUR_S: "hour", 24 * _HOUR_S: "day"}.get(time.width, f"slot of {width}")
    unit = Unit(name, time.width)
    series = []
    for place, step in enumerate(steps):
        numbers: Counter[int] = Counter()
        for wall, hour in zip(walls, hours, strict=True):
            numbers[int((wall - time.origin) // time.width)] += hour.steps[place]
        series.append(Series(step, _look(place), numbers))
    return f"By {name}", charts.stacked_rate_chart(time, series, (), unit=unit, what="Messages")
