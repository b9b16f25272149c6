"""Moments: a column or step with durations, or a fixed time, and the times in cells."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.schedule.moment import Moment, instant_in, parse_time
from campaign.schedule.zones import find_zone


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("abandoned_at", Moment("abandoned_at")),
        ("abandoned_at + 1h", Moment("abandoned_at", timedelta(hours=1))),
        ("first+23h", Moment("first", timedelta(hours=23))),
        ("ends - 2d", Moment("ends", timedelta(days=-2))),
        (" ends + 1w - 1d 12h ", Moment("ends", timedelta(days=5, hours=12))),
        ("größe_at + 10 minutes", Moment("größe_at", timedelta(minutes=10))),
        ("2026-12-24T09:00", Moment("2026-12-24T09:00", is_fixed=True)),
        ("2026-12-24 09:00:00+01:00", Moment("2026-12-24 09:00:00+01:00", is_fixed=True)),
    ],
)
def test_a_moment_is_read(text: str, moment: Moment) -> None:
    """A moment is a name with durations added and taken away, or a time in ISO 8601."""
    assert Moment.parse(text) == moment


@pytest.mark.parametrize(
    "text", ["", "+ 1h", "a + 1", "a + 1h 2", "a * 2", "a + b", "a ++ 1h", "a + 1h +", "a b", "1h", "2026-02-30", "a-b"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Everything else is refused with what to write."""
    with pytest.raises(ValueError, match="write"):
        Moment.parse(text)


@given(st.from_regex(r"[a-z_]\w{0,9}", fullmatch=True), st.timedeltas(timedelta(days=-3650), timedelta(days=3650)))
def test_a_moment_is_written_as_it_is_read(name: str, delay: timedelta) -> None:
    """A moment that is written as text is read back as the same one."""
    moment = Moment(name, delay - delay % timedelta(milliseconds=1))
    assert Moment.parse(str(moment)) == moment


@given(st.datetimes(datetime(1982, 1, 1), datetime(9980, 1, 1), timezones=st.timezones()))  # noqa: DTZ001 - bounds
def test_a_time_with_a_zone_is_its_own_instant(aware: datetime) -> None:
    """A cell with an offset is that instant."""
    assert instant_in(parse_time(aware.isoformat()), None) == aware.timestamp()


@pytest.mark.parametrize("text", ["", "tomorrow", "24.12.2026", "1766563200", "2026-12-24T09:00 CET", "12/24/2026"])
def test_a_cell_that_is_no_time_is_refused(text: str) -> None:
    """Only ISO 8601 is a time; the error quotes the cell and says what to write."""
    with pytest.raises(ValueError, match=r'is not a time in ISO 8601; write one like "2026-12-24T09:00\+01:00"'):
        parse_time(text)


def test_a_year_out_of_range_is_refused() -> None:
    """A year in which nobody sends mail is refused, so that no arithmetic leaves the calendar."""
    for text in ("0001-01-01", "1970-01-01T00:00", "9999-12-31T23:59"):
        with pytest.raises(ValueError, match="out of range; write a year such as 2026"):
            instant_in(parse_time(text), find_zone("Asia/Tokyo"))
    with pytest.raises(ValueError, match="out of range"):
        instant_in(parse_time("0001-01-01T00:00+14:00"), None)
