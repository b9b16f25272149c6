"""The axes of charts: round numbers, logarithms, and a time line with its pauses left out. Nothing is drawn here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from campaign.reporting.report.timeline import STEPS
from campaign.reporting.report.units import clock_time, day

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.reporting.report.timeline import Stretch, Timeline

#: Marks of a logarithmic axis of time (seconds): decades, and what people say instead of 100 s.
_DECADES = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0)
_BETWEEN = (0.0002, 0.0005, 0.002, 0.005, 0.02, 0.05, 0.2, 0.5, 2.0, 5.0, 30.0, 120.0, 300.0, 1800.0, 7200.0, 18000.0)
#: A logarithmic axis needs so many marks.
_MIN_TICKS = 3
#: The room between two stretches (percent of the width).
_GAP_PERCENT = 3.0


class Mark(NamedTuple):
    """A word under a time line."""

    text: str
    #: Percent of the width.
    x: float
    #: There is no room for it on a phone.
    minor: bool


@dataclass(frozen=True, slots=True)
class Span:
    """Where a stretch lies, in percent of the width."""

    left: float
    width: float
    stretch: Stretch


class TimeAxis:
    """A time line as the horizontal axis of a chart: stretches next to each other, all to the same scale.

    Args:
        time: the time line.
        marks: about so many times are written under it.
    """

    def __init__(self, time: Timeline, *, marks: int) -> None:
        self._time = time
        #: The least between two words (percent of the width).
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
        """The date of each stretch that has room for it, where there are several."""
        if len(self.spans) == 1:
            return []
        found: list[Mark] = []
        for span in self.spans:
            start = self._time.starts_at(span.stretch.first)
            if not found or span.left - found[-1].x >= self._apart:
                found.append(Mark(clock_time(start, step=86400), span.left, minor=False))
        return found

    def marks(self) -> list[Mark]:
        """Return the times to be written under the axis."""
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
        """Return when a slot was."""
        start = self._time.starts_at(slot)
        date = f"{day(start)}, " if len(self.spans) > 1 else ""
        return date + clock_time(start, step=min(self._time.width, 60))


def round_marks(highest: float, *, wanted: int = 4, whole: bool = False) -> list[float]:
    """Return marks from 0 to at least `highest`, about `wanted` steps of 1, 2 or 5 times a power of ten.

    Args:
        highest: what there must be room for.
        wanted: the number of steps.
        whole: only whole numbers make sense.
    """
    if highest <= 0:
        return [0.0, 1.0]
    rough = max(highest / wanted, 1.0 if whole else 0.0)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.8)
    return [step * number for number in range(math.ceil(highest / step - 1e-9) + 1)]


def time_marks(fastest: float, slowest: float) -> list[float]:
    """Return marks of a logarithmic axis between two lengths of time (seconds)."""
    found = [mark for mark in _DECADES if fastest * 0.999 <= mark <= slowest * 1.001]
    if len(found) >= _MIN_TICKS:
        return found
    return sorted(found + [mark for mark in _BETWEEN if fastest * 0.999 <= mark <= slowest * 1.001])


def at_least_a_decade(lowest: float, highest: float) -> tuple[float, float]:
    """Return the range, made as wide as a logarithmic axis must be to have marks."""
    padding = math.sqrt(max(10.0 / (highest / lowest), 1.0))
    return lowest / padding, highest * padding


def logarithmic(lowest: float, highest: float, size: float) -> Callable[[float], float]:
    """Return the function that gives a number's distance from the low end of a logarithmic axis of this size."""
    whole = math.log(highest / lowest)

    def place(number: float) -> float:
        return size * min(max(math.log(max(number, lowest) / lowest) / whole, 0.0), 1.0)

    return place
