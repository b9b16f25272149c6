"""A schedule: due time, end and zone of a row, and cells that cannot be read."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import pytest

from campaign.errors import ScheduleError
from campaign.model import NEVER
from campaign.schedule import Moment, Schedule, WeeklyWindow, find_zone
from campaign.schedule.window import parse_hours

BERLIN = find_zone("Europe/Berlin")
LEFT = Moment.parse("left_at + 1h")
#: 2026-12-24T09:00 in Berlin.
NINE = 1_798_099_200.0


@pytest.mark.parametrize(
    ("row", "due"),
    [
        ({"left_at": "2026-12-24T08:00+01:00"}, NINE),
        ({"left_at": "2026-12-24T07:00Z"}, NINE),
        ({"left_at": " 2026-12-24 08:00:00 "}, NINE),
        ({"left_at": "2026-12-24 08:00", "zone": " "}, NINE),
        ({"left_at": "2026-12-24 08:00", "zone": None}, NINE),
        ({"left_at": "2026-12-24 02:00", "zone": "America/New_York"}, NINE),
        ({"left_at": "2026-12-24"}, NINE - 8 * 3600),
        ({"left_at": "2026-12-24T08:00:00.5+01:00", "zone": "no zone"}, NINE + 0.5),
        # an hour after a time in the gap, and after the first of two
        ({"left_at": "2026-03-29 02:30"}, datetime.fromisoformat("2026-03-29T02:00Z").timestamp()),
        ({"left_at": "2026-10-25 02:30"}, datetime.fromisoformat("2026-10-25T01:30Z").timestamp()),
    ],
)
def test_a_row_is_due_by_its_cell(row: dict[str, Any], due: float) -> None:
    """A cell is read in its own zone, else in the row's, else in the default one; the delay is time that passes."""
    assert Schedule(due=LEFT, zone="zone", default_zone=BERLIN).due_at(row, {}) == due


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"left_at": ""}, "The cell left_at is empty; write a time like"),
        ({}, "The cell left_at is empty; write a time like"),
        ({"left_at": "soon"}, "The cell left_at: 'soon' is not a time in ISO 8601; write one like"),
        ({"left_at": 5}, "The cell left_at: '5' is not a time"),
        ({"left_at": "0001-01-01", "zone": "Asia/Tokyo"}, "The cell left_at: '0001-01-01T00:00:00' is out of range"),
        ({"left_at": "2026-12-24", "zone": "Mars"}, "The cell zone: 'Mars' is not a time zone; write an IANA name"),
        ({"left_at": "2026-12-24", "zone": "berlin"}, "The cell zone: 'berlin' is not a time zone; did you mean"),
        ({"left_at": "2026-12-24", "zone": ""}, "The cell zone is empty; write default_zone = "),
    ],
)
def test_a_cell_that_cannot_be_read_names_its_column(row: dict[str, Any], words: str) -> None:
    """The error is one sentence that names the column and what to write."""
    with pytest.raises(ScheduleError) as refused:
        Schedule(due=LEFT, zone="zone").due_at(row, {})
    assert words in str(refused.value)
    assert str(refused.value).endswith((".", '"?'))


def test_a_local_time_needs_a_zone() -> None:
    """Without any zone a local time is refused, and a time with an offset is not."""
    with pytest.raises(ScheduleError, match=r"'2026-12-24 08:00' has no zone; write one like .* or write default_zone"):
        Schedule(due=LEFT).due_at({"left_at": "2026-12-24 08:00"}, {})
    assert Schedule(due=LEFT).due_at({"left_at": "2026-12-24T08:00+01:00"}, {}) == NINE


def test_a_step_counts_from_the_mail_of_an_earlier_one() -> None:
    """Until the earlier step is sent, the row is never due and has no end; a column of its name is not looked at."""
    schedule = Schedule(
        due=Moment.parse("first + 1d"), until=Moment.parse("first + 2d"), zone="zone", earlier=("first",)
    )
    row = {"first": "2020-01-01T00:00Z"}
    assert (schedule.follows, schedule.columns) == ("first", {"zone": "zone"})
    assert (schedule.due_at(row, {}), schedule.until_at(row, {})) == (NEVER, math.inf)
    assert (schedule.due_at(row, {"first": 7.0}), schedule.until_at(row, {"first": 7.0})) == (86_407, 172_807)


def test_the_window_is_that_of_the_rows_zone() -> None:
    """The same hours open six hours later in New York than in Berlin; without hours every instant is open."""
    schedule = Schedule(window=WeeklyWindow(parse_hours("09:00-20:00")), zone="zone", default_zone=BERLIN)
    assert schedule.next_open(NINE - 7200, {}) == NINE
    assert schedule.next_open(NINE - 7200, {"zone": "America/New_York"}) == NINE + 6 * 3600
    assert schedule.next_open(NINE - 7200, {}) == NINE
    assert Schedule().next_open(NINE - 7200, {"zone": "no zone"}) == NINE - 7200
    with pytest.raises(ScheduleError, match="The cell zone: 'Mars' is not a time zone"):
        schedule.next_open(NINE, {"zone": "Mars"})


def test_without_times_a_row_is_due_at_once() -> None:
    """A campaign without `[schedule]` is due at once, has no end, and needs no column."""
    schedule = Schedule()
    assert (schedule.due_at({}, {}), schedule.until_at({}, {})) == (0.0, math.inf)
    assert (schedule.follows, schedule.columns) == (None, {})
