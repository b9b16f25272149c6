"""Quantiles, bars, axis marks and numbers as the report prints them."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.reporting.report.axes import at_least_a_decade, logarithmic, round_marks, time_marks
from campaign.reporting.report.latency import LatencyFigures
from campaign.reporting.report.units import lasting, rate, share

answers = st.lists(st.tuples(st.integers(0, 5), st.floats(0.0001, 5000), st.integers(1, 50)), min_size=1, max_size=50)


def noted(found: list[tuple[int, float, int]]) -> LatencyFigures:
    latency = LatencyFigures()
    for slot, seconds, number in found:
        latency.note(slot, seconds, number)
    return latency


@given(answers, st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_one_of_the_answers(found: list[tuple[int, float, int]], part: float) -> None:
    """A quantile is the latency at its rank among all answers."""
    every = sorted(seconds for _, seconds, number in found for _ in range(number))
    latency = noted(found)
    assert latency.quantile(part) == every[ceil(len(every) * part) - 1]
    assert latency.number == len(every)
    assert latency.slowest == every[-1]


@given(answers)
def test_a_slot_has_quantiles_of_its_own(found: list[tuple[int, float, int]]) -> None:
    """The median of each slot is computed from that slot's answers, to two digits."""
    latency = noted(found)
    for slot, middle in latency.by_slot(0.5).items():
        every = sorted(seconds for at, seconds, number in found for _ in range(number) if at == slot)
        assert middle == pytest.approx(every[ceil(len(every) / 2) - 1], rel=0.06)


@given(answers)
def test_the_bars_hold_all_but_a_few(found: list[tuple[int, float, int]]) -> None:
    """The bars have no gaps between them and contain at least 99 % of the answers."""
    latency = noted(found)
    bars = latency.bins()
    assert all(before[1] == after[0] for before, after in pairwise(bars))
    assert sum(number for *_, number in bars) >= latency.number * 0.99
    assert bars[0][2] > 0
    assert bars[-1][2] > 0


@given(st.floats(1e-6, 1e9), st.integers(2, 6))
def test_marks_are_round_and_leave_room(highest: float, wanted: int) -> None:
    """Axis marks start at 0, have steps of 1, 2 or 5 times a power of ten, and end at or above the highest value."""
    marks = round_marks(highest, wanted=wanted)
    assert marks[0] == 0
    assert marks[-1] >= highest * 0.999999
    assert marks[-2] < highest
    assert f"{marks[1]:e}"[0] in "125"
    assert 2 <= len(marks) <= 2 * wanted + 2


def test_whole_things_are_counted_in_whole_numbers() -> None:
    """An axis of whole things has only whole numbers."""
    assert round_marks(1, whole=True) == [0, 1]
    assert round_marks(0) == [0, 1]


@given(st.floats(0.0001, 3600), st.floats(1, 1000))
def test_a_logarithmic_axis_has_marks(lowest: float, ratio: float) -> None:
    """A logarithmic axis spans at least a decade, has at least two marks, and has a position for every value."""
    low, high = at_least_a_decade(lowest, lowest * ratio)
    assert high / low >= 9.999
    assert len(time_marks(low, high)) >= 2
    place = logarithmic(low, high, 100)
    assert 0 <= place(lowest) <= place(lowest * ratio) <= 100


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"), (0.00074, "0.7 ms"), (0.0711, "71 ms"), (0.9, "900 ms"), (0.9999, "1 s"), (1.24, "1.2 s"),
        (45.2, "45 s"), (119.0, "119 s"), (180.0, "3 min"), (9000.0, "2.5 h"),
        (400_000.0, "111 h"), (500_000.0, "5.8 days"),
    ],
)  # fmt: skip
def test_lengths_of_time(seconds: float, text: str) -> None:
    """A duration is printed in the unit that people would use for it."""
    assert lasting(seconds) == text


@pytest.mark.parametrize(
    ("number", "whole", "text"),
    [(0, 5, "0 %"), (5, 5, "100 %"), (0, 0, "0 %"), (1, 3, "33 %"), (1, 100_000, "0.1 %"), (99_999, 100_000, "99.9 %")],
)
def test_shares(number: int, whole: int, text: str) -> None:
    """A share is printed as 0 or 100 percent only if it is exactly that."""
    assert share(number, whole) == text


@pytest.mark.parametrize(("number", "text"), [(1234.5, "1,234"), (60.0, "60"), (12.34, "12.3"), (0.123, "0.12")])
def test_rates(number: float, text: str) -> None:
    """A rate is printed with about three digits."""
    assert rate(number) == text
