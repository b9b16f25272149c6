"""Draw the charts of a report: rates over time with their limits, latencies, histograms and bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from campaign.reporting.report import shapes
from campaign.reporting.report.axes import TimeAxis, at_least_a_decade, logarithmic, round_marks, time_marks
from campaign.reporting.report.units import lasting, rate, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from campaign.reporting.report.latency import LatencyFigures
    from campaign.reporting.report.timeline import Timeline

#: Heights of the plots (pixels).
_TALL, _MIDDLE, _LOW = 150.0, 96.0, 84.0
#: A limit more than this many times above the peak rate is not drawn: it would flatten the data.
_MAX_LIMIT_FACTOR = 3.0


class Series(NamedTuple):
    """One coloured series of a chart."""

    name: str
    #: Its CSS class.
    look: str
    #: Slot → number of events.
    numbers: Mapping[int, int]


class Line(NamedTuple):
    """A limit, drawn as a horizontal line."""

    name: str
    #: Events per second.
    rate: float


@dataclass(frozen=True, slots=True)
class Unit:
    """The time unit of a rate axis."""

    name: str
    seconds: float

    @classmethod
    def of(cls, highest: float) -> Unit:
        """Return the unit in which the highest rate (events per second) is easy to read."""
        if highest >= 1 / 2:
            return cls("second", 1.0)
        return cls("minute", 60.0) if highest >= 1 / 60 else cls("hour", 3600.0)


def peak(time: Timeline, series: Sequence[Series]) -> float:
    """Return the highest rate of any slot, in events per second."""
    return max((sum(each.numbers.get(slot, 0) for each in series) for slot in time.slots()), default=0) / time.width


def stacked_rate_chart(
    time: Timeline, series: Sequence[Series], limits: Iterable[Line], *, unit: Unit, what: str
) -> Markup:
    """Return a stacked chart of rates over time, with their limits.

    Args:
        time: the slots.
        series: from bottom to top.
        limits: drawn only if they are near the highest rate.
        unit: of the vertical axis.
        what: the events, for screen readers.
    """
    factor = unit.seconds / time.width
    highest = peak(time, series) * unit.seconds
    lines = [
        (line.name, line.rate * unit.seconds)
        for line in limits
        if line.rate * unit.seconds <= highest * _MAX_LIMIT_FACTOR
    ]
    marks = round_marks(max([highest, *(value for _, value in lines)]))
    axis, scale = TimeAxis(time, marks=8), _TALL / marks[-1]
    parts = [shapes.grid(_TALL - mark * scale for mark in marks[1:])]
    for span in axis.spans:
        slots = range(span.stretch.first, span.stretch.last + 1)
        ground, drawn = [0.0] * len(slots), []
        for each in series:
            steps = zip(slots, ground, strict=True)
            top = [below + each.numbers.get(slot, 0) * factor * scale for slot, below in steps]
            if top != ground:
                drawn.append(shapes.area(each.look, ground, top, _TALL))
            ground = top
        for place, slot in enumerate(slots):
            told = [(each.name, each.numbers[slot]) for each in series if each.numbers.get(slot)]
            if told:
                whole = rate(sum(number for _, number in told) * factor)
                text = f"{axis.named(slot)}: {whole} a {unit.name} ({_listed(told)})"
                drawn.append(shapes.tooltip(place, 1, _TALL, text))
        parts.append(shapes.panel(drawn, left=span.left, width=span.width, height=_TALL, across=len(slots)))
    parts += [shapes.limit(name, _TALL - value * scale) for name, value in lines]
    parts += _times(axis, _TALL)
    labels = [(f"{mark:,.10g}", _TALL - mark * scale) for mark in marks]
    return shapes.chart(labels, parts, _TALL, lines=1 + bool(axis.days), what=f"{what} a {unit.name} over time")


def latency_chart(time: Timeline, latency: LatencyFigures, *, look: str, what: str) -> Markup:
    """Return a chart of the median and the 95th percentile over time, on a logarithmic axis."""
    middle, most = latency.by_slot(0.5), latency.by_slot(0.95)
    lowest, highest = at_least_a_decade(min(middle.values()), max(most.values()))
    above, marks = logarithmic(lowest, highest, _LOW), time_marks(lowest, highest)
    axis = TimeAxis(time, marks=4)
    parts = [shapes.grid(_LOW - above(mark) for mark in marks)]
    for span in axis.spans:
        first, wide = span.stretch.first, len(span.stretch)
        drawn = []
        for run in _unbroken(slot for slot in range(first, first + wide) if slot in middle):
            low, high = [above(middle[slot]) for slot in run], [above(most[slot]) for slot in run]
            drawn.append(shapes.area(f"{look} band", low, high, _LOW, start=run[0] - first))
            drawn.append(shapes.outline(f"{look} curve", low, _LOW, start=run[0] - first))
            for slot in run:
                text = f"{axis.named(slot)}: median {lasting(middle[slot])}, 95 of 100 within {lasting(most[slot])}"
                drawn.append(shapes.tooltip(slot - first, 1, _LOW, text))
        parts.append(shapes.panel(drawn, left=span.left, width=span.width, height=_LOW, across=wide))
    parts += _times(axis, _LOW)
    labels = [(lasting(mark), _LOW - above(mark)) for mark in marks]
    return shapes.chart(labels, parts, _LOW, lines=1 + bool(axis.days), what=what)


def histogram(latency: LatencyFigures, *, look: str, what: str) -> Markup:
    """Return a histogram of a service's latencies on a logarithmic time axis, with the median."""
    bins = latency.bins()
    lowest, highest = at_least_a_decade(bins[0][0], bins[-1][1])
    right_of = logarithmic(lowest, highest, 100.0)
    marks = round_marks(max(number for _, _, number in bins), wanted=3, whole=True)
    scale, drawn = _MIDDLE / marks[-1], []
    for start, end, number in bins:
        left, width = right_of(start), right_of(end) - right_of(start)
        if number:
            drawn.append(shapes.block(look, left, width, max(number * scale, 1.0), _MIDDLE))
            text = f"{lasting(start)} to {lasting(end)}: {number:,} ({share(number, latency.number)})"
            drawn.append(shapes.tooltip(left, width, _MIDDLE, text))
    parts = [shapes.grid(_MIDDLE - mark * scale for mark in marks[1:])]
    parts.append(shapes.panel(drawn, left=0, width=100, height=_MIDDLE, across=100))
    parts.append(shapes.flag("median", right_of(latency.quantile(0.5)), _MIDDLE, before=True))
    parts.append(shapes.flag("95 %", right_of(latency.quantile(0.95)), _MIDDLE, before=False))
    parts += [shapes.below(lasting(mark), right_of(mark), _MIDDLE) for mark in time_marks(lowest, highest)]
    labels = [(f"{mark:,.10g}", _MIDDLE - mark * scale) for mark in marks]
    return shapes.chart(labels, parts, _MIDDLE, what=what)


def bar(parts: Iterable[tuple[str, str, float]], *, whole: float, what: str) -> Markup:
    """Return one bar, divided into parts.

    Args:
        parts: (look, name, number) of each.
        whole: the number that corresponds to the full width.
        what: the bar, for screen readers.
    """
    drawn, left = [], 0.0
    for look, name, number in parts:
        if number:
            width = 100 * number / whole if whole else 0.0
            drawn.append(shapes.part(look, left, width, f"{name}: {number:,.10g} ({share(number, whole)})"))
            left += width
    return Markup('<svg class="bar" role="img" aria-label="{}">{}</svg>').format(what, Markup().join(drawn))


def _times(axis: TimeAxis, height: float) -> list[Markup]:
    marks = [shapes.below(mark.text, mark.x, height, minor=mark.minor) for mark in axis.marks()]
    return marks + [shapes.below(mark.text, mark.x, height, line=1) for mark in axis.days]


def _listed(told: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in told)


def _unbroken(slots: Iterable[int]) -> list[list[int]]:
    """Return the runs of consecutive slots."""
    runs: list[list[int]] = []
    for slot in slots:
        if runs and runs[-1][-1] == slot - 1:
            runs[-1].append(slot)
        else:
            runs.append([slot])
    return runs
