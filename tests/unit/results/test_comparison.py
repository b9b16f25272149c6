"""The difference between those mailed and those held out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.results.comparison import difference


@pytest.mark.parametrize(
    ("numbers", "lowest", "highest"),
    [
        # the table of Newcombe 1998, method 10
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
    ],
)
def test_the_interval_is_that_of_the_literature(
    numbers: tuple[int, int, int, int], lowest: float, highest: float
) -> None:
    """The bounds are those that Newcombe's article gives."""
    found = difference(*numbers)
    assert found is not None
    assert [found.lowest, found.highest] == pytest.approx([lowest, highest], abs=1e-4)


def test_without_a_group_there_is_nothing_to_compare() -> None:
    """An empty group, mailed or held out, gives no difference."""
    assert difference(0, 0, 1, 2) is None
    assert difference(1, 2, 0, 0) is None


@given(mailed=st.integers(1, 5000), held=st.integers(1, 500), data=st.data())
def test_the_difference_lies_within_its_interval(mailed: int, held: int, data: st.DataObject) -> None:
    """The interval holds the difference of the shares and stays within 100 points."""
    found = difference(data.draw(st.integers(0, mailed)), mailed, data.draw(st.integers(0, held)), held)
    assert found is not None
    assert -1.000001 <= found.lowest <= found.points + 1e-9
    assert found.points - 1e-9 <= found.highest <= 1.000001
    assert found.is_clear is (found.lowest > 0 or found.highest < 0)
