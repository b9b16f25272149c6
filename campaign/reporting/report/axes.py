"""Compute the axes of charts: `TimeAxis` for time lines without their pauses, round ticks, logarithmic scales."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from campaign.reporting.report.timeline import STEPS
from campaign.reporting.report.units import clock_time, day

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.reporting.report.timeline import Stretch, Timeline

#: Ticks of a logarithmic time axis (seconds): decades, but minutes and hours instead of 100 s and 10 000 s.
_DECADES = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0)
_BETWEEN = (0.0002, 0.0005, 0.002, 0.005, 0.02, 0.05, 0.2, 0.5, 2.0, 5.0, 30.0, 120.0, 300.0, 1800.0, 7200.0, 18000.0)
#: The least number of ticks on a logarithmic axis.
_MIN_TICKS = 3
#: The gap between two stretches (percent of the width).
_GAP_PERCENT = 3.0


class Mark(NamedTuple):
    """A label under a time axis."""

    text: str
    #: Position, in percent of the width.
    x: float
    #: Hidden on narrow screens, where it does not fit.
    minor: bool


@dataclass(frozen=True, slots=True)
class Span:
    """The horizontal position of a stretch, in percent of the width."""

    left: float
    width: float
    stretch: Stretch


class TimeAxis:
    """The horizontal axis of a chart: the stretches of a time line side by side, all to the same scale.

    Args:
        time: the time line.
        marks: the approximate number of labels under the axis.
    """

    def __init__(self, time: Timeline, *, marks: int) -> None:
        self._time = time
        #: The least distance between two labels (percent of the width).
        self._apart = 75.0 / marks
        room = 100.0 - _GAP_PERCENT * (len(time.stretches) - 1)
        self.spans: list[Span] = []
        left = 0.0
        for stretch in time.stretches:
            width = room * len(stretch) / len(time)
            self.spans.append(Span(left, width, stretch))
            left += width + _GAP_PERCENT
        wanted = len(time) * time.width / marks
        self._step = next((step for step in STEPS if step >= max(wanted, time.width)), STEPS[-1])

    @property
    def days(self) -> list[Mark]:
        """The date of each stretch that has space for it; empty if there is only one stretch."""
        if len(self.spans) == 1:
            return []
        found: list[Mark] = []
        for span in self.spans:
            start = self._time.starts_at(span.stretch.first)
            if not found or span.left - found[-1].x >= self._apart:
                found.append(Mark(clock_time(start, step=86400), span.left, minor=False))
        return found

    def marks(self) -> list[Mark]:
        """Return the time labels under the axis."""
        found: list[Mark] = []
        for span in self.spans:
            first, last = span.stretch.first, span.stretch.last + 1
            begin, end = self._time.starts_at(first), self._time.starts_at(last)
            moments = [begin] if len(self.spans) > 1 else []
            moments += [
                number * self._step for number in range(math.ceil(begin / self._step), math.floor(end / self._step) + 1)
            ]
            for moment in moments:
                x = span.left + span.width * (moment - begin) / (end - begin)
                if not found or x - found[-1].x >= self._apart:
                    minor = bool(found) and not found[-1].minor
                    found.append(Mark(clock_time(moment, step=self._step), x, minor))
        return found

    def named(self, slot: int) -> str:
        """Return the date and time of a slot as text."""
        start = self._time.starts_at(slot)
        date = f"{day(start)}, " if len(self.spans) > 1 else ""
        return date + clock_time(start, step=min(self._time.width, 60))


def round_marks(highest: float, *, wanted: int = 4, whole: bool = False) -> list[float]:
    """Return ticks from 0 to at least `highest`, in about `wanted` steps of 1, 2 or 5 times a power of ten.

    Args:
        highest: the highest value on the axis.
        wanted: the number of steps.
        whole: use whole numbers only.
    """
    if highest <= 0:
        return [0.0, 1.0]
    rough = max(highest / wanted, 1.0 if whole else 0.0)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.8)
    return [step * number for number in range(math.ceil(highest / step - 1e-9) + 1)]


def time_marks(fastest: float, slowest: float) -> list[float]:
    """Return ticks of a logarithmic axis between two durations (seconds)."""
    found = [mark for mark in _DECADES if fastest * 0.999 <= mark <= slowest * 1.001]
    if len(found) >= _MIN_TICKS:
        return found
    return sorted(found + [mark for mark in _BETWEEN if fastest * 0.999 <= mark <= slowest * 1.001])


def at_least_a_decade(lowest: float, highest: float) -> tuple[float, float]:
    """Return the range, widened to at least one decade, so that a logarithmic axis has ticks."""
    padding = math.sqrt(max(10.0 / (highest / lowest), 1.0))
    return lowest / padding, highest * padding


def logarithmic(lowest: float, highest: float, size: float) -> Callable[[float], float]:
    """Return a function that maps a number to its distance from the low end of a logarithmic axis of this size."""
    whole = math.log(highest / lowest)

    def place(number: float) -> float:
        return size * min(max(math.log(max(number, lowest) / lowest) / whole, 0.0), 1.0)

    return place
