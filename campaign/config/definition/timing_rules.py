"""Check `[schedule]` and `[recheck]` against steps and link, and make the `Schedule` of a step: `schedule_of`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from campaign.config.definition.faults import wrong
from campaign.schedule import Moment, Schedule, WeeklyWindow, find_zone
from campaign.schedule.moment import parse_time
from campaign.schedule.window import ALL_DAYS, ALL_HOURS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic_core import ErrorDetails

    from campaign.config.definition.schedule_section import RecheckSection, ScheduleSection
    from campaign.config.definition.variants import Layer


def schedule_of(section: ScheduleSection, steps: Sequence[str], number: int) -> Schedule:
    """Return the schedule of a step; a later step without a due time of its own is due after the one before it."""
    return Schedule(
        due=section.due or (Moment(steps[number - 1]) if number else None),
        until=section.until,
        window=None
        if section.hours is None and section.days is None
        else WeeklyWindow(section.hours or ALL_HOURS, section.days or ALL_DAYS),
        zone=section.zone,
        default_zone=find_zone(section.default_zone) if section.default_zone else None,
        earlier=steps[:number],
    )


def schedule_faults(section: ScheduleSection, steps: Sequence[str], layer: Layer) -> Iterator[ErrorDetails]:
    """Yield what is wrong with the schedule of a step."""
    due, until = section.due or (Moment(steps[layer.number - 1]) if layer.number else None), section.until
    for key, moment in (("due", due), ("until", until)):
        if moment is not None and (sentence := _reference(moment, steps, layer, key)):
            yield wrong(layer.place("schedule", key), sentence)
    if due is not None and until is not None and _ends_first(due, until):
        yield wrong(
            layer.place("schedule", "until"),
            f'"{until}" is not later than due, "{due}": every row would be too late; write a later time',
        )
    if not section.zone and not section.default_zone:
        for key in ("hours", "days"):
            if getattr(section, key) is not None:
                yield wrong(
                    layer.place("schedule", key),
                    'are read in the recipient\'s zone; add default_zone = "Europe/Berlin", or zone with the name of '
                    "a column",
                )


def recheck_faults(section: RecheckSection, layer: Layer) -> Iterator[ErrorDetails]:
    """Yield what is wrong with the signs that a step is to look for."""
    if section.unless and "link" not in layer.tables:
        signs = " and ".join(f'"{sign}"' for sign in section.unless)
        yield wrong(
            layer.place("recheck", "unless"),
            f"{signs} can be seen only in a campaign with [link], for others do not ask Clerk; add [link], or write []",
        )


def _reference(moment: Moment, steps: Sequence[str], layer: Layer, key: str) -> str:
    """Return what is wrong with the name from which a time counts; empty if nothing is."""
    place = layer.places.get(("schedule", key))
    if place is None or moment.is_fixed or moment.name not in steps:
        return ""
    if place[0] == "schedule":
        return (
            f'"{moment.name}" is a step, and times in [schedule] count from a column; name a column, or rename the '
            "step if a column has its name"
        )
    earlier = steps[: layer.number]
    if moment.name not in earlier:
        which = "this step itself" if moment.name == layer.step else "a later step"
        names = " or ".join(f'"{name}"' for name in earlier) or "a column"
        return f'"{moment.name}" is {which}; count from {names}'
    if moment.delay < timedelta():
        return f'"{moment}" is before that step; write a time after it, such as "{moment.name} + 23h"'
    return ""


def _ends_first(due: Moment, until: Moment) -> bool:
    """Return whether the end is not after the due time, as far as that is the same for all rows."""
    if due.is_fixed and until.is_fixed:
        start, end = parse_time(due.name), parse_time(until.name)
        return (start.tzinfo is None) == (end.tzinfo is None) and end <= start
    return (due.is_fixed, due.name) == (until.is_fixed, until.name) and until.delay <= due.delay
