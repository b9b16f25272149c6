"""The time line: slots of round widths, long pauses left out, and no event lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.reporting.report.axes import TimeAxis
from campaign.reporting.report.timeline import STEPS, Stretch, timeline

START = 1_772_528_400.0
HOUR = 3600.0

#: The first and the last instant within each of several minutes.
minutes = st.dictionaries(
    st.integers(0, 200_000), st.tuples(st.floats(0, 59.9), st.floats(0, 59.9)).map(sorted), min_size=1, max_size=40
).map(lambda found: [(START + 60 * number + a, START + 60 * number + b) for number, (a, b) in sorted(found.items())])


def test_nothing_happened() -> None:
    """Without any event there is no time line."""
    assert timeline([]) is None


@given(minutes, st.sampled_from([0.1, 1.0, 7.0, 600.0]))
def test_everything_that_happened_has_its_slot(spans: list[tuple[float, float]], finest: float) -> None:
    """Each instant is in a slot of one stretch, stretches do not touch, and slots are not finer than requested."""
    found = timeline(spans, finest=finest)
    assert found is not None
    assert found.width in STEPS
    assert found.width >= finest
    slots = set(found.slots())
    assert len(slots) == len(found)
    for moment in (edge for span in spans for edge in span):
        assert int((moment - found.origin) / found.width) in slots
    for before, after in pairwise(found.stretches):
        assert after.first > before.last + 1
    assert len(found.stretches) <= 6


def test_a_long_pause_is_left_out_and_a_short_one_is_not() -> None:
    """Two batches a day apart give two stretches, and a wait of minutes between tries stays in one."""
    batches = timeline([(START, START + 50), (START + 24 * HOUR, START + 24 * HOUR + 40)])
    assert batches is not None
    assert (batches.width, len(batches)) == (1.0, 92)
    assert batches.stretches == (Stretch(0, 50), Stretch(86_400, 86_440))
    waiting = timeline([(START, START + 50), (START + 200, START + 240)])
    assert waiting is not None
    assert len(waiting.stretches) == 1


def test_the_axis_names_times_and_days() -> None:
    """Times are printed at their positions, far enough apart, and each of several stretches starts with its date."""
    time = timeline([(START, START + 50), (START + 24 * HOUR, START + 24 * HOUR + 40)])
    assert time is not None
    axis = TimeAxis(time, marks=8)
    assert [mark.text for mark in axis.days] == ["3 Mar", "4 Mar"]
    marks = axis.marks()
    assert marks[0].text == "09:00:00"
    assert all(after.x - before.x >= 9 for before, after in pairwise(marks))
    assert all(0 <= mark.x <= 100 for mark in marks)
    assert axis.named(86_440) == "4 March 2026, 09:00:40"


@given(minutes)
def test_every_axis_has_a_time(spans: list[tuple[float, float]]) -> None:
    """Every time axis has at least one label, and all labels are within the axis."""
    time = timeline(spans)
    assert time is not None
    axis = TimeAxis(time, marks=4)
    assert sum(span.width for span in axis.spans) + 3 * (len(axis.spans) - 1) == pytest.approx(100)
    assert axis.marks()
    assert all(-0.01 <= mark.x <= 100.01 for mark in axis.marks())
