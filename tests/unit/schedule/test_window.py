"""Hours and days: the next open instant is that of an oracle that looks at every minute, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.model import NEVER
from campaign.schedule.window import ALL_DAYS, ALL_HOURS, WeeklyWindow, parse_days, parse_hours
from support import slow_clock

BERLIN = ZoneInfo("Europe/Berlin")
_NAMES = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_TIMES = st.tuples(st.integers(0, 23), st.sampled_from([0, 1, 15, 29, 30, 45, 59])).map(
    lambda pair: f"{pair[0]:02}:{pair[1]:02}"
)
HOURS = st.tuples(_TIMES, _TIMES).filter(lambda pair: pair[0] != pair[1]).map("-".join)
DAYS = st.tuples(st.sampled_from(_NAMES), st.sampled_from(_NAMES)).map("-".join)


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    """Return the instant of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@given(
    number=st.integers(0, len(slow_clock.CHANGES) - 1),
    away=st.timedeltas(timedelta(days=-9), timedelta(days=3)) | st.timedeltas(timedelta(hours=-3), timedelta(hours=3)),
    later=st.lists(st.timedeltas(timedelta(0), timedelta(days=2)), max_size=4),
    hours=HOURS,
    days=DAYS,
)
def test_the_next_opening_is_that_of_the_oracle(
    number: int, away: timedelta, later: list[timedelta], hours: str, days: str
) -> None:
    """The first open instant is the one that a search through all minutes finds, whatever was asked before."""
    zone, change = slow_clock.change(number)
    window = WeeklyWindow(parse_hours(hours), parse_days(days))
    for start in [change + away, *(change + away + more for more in later)]:
        expected = slow_clock.next_open(start, zone, hours, days)
        assert window.next_open(start.timestamp(), zone) == pytest.approx(expected.timestamp(), abs=1e-6)
        assert window.is_open(window.next_open(start.timestamp(), zone), zone)


@pytest.mark.parametrize(
    ("hours", "days", "start", "opening"),
    [
        ("09:00-20:00", "Mon-Sun", "2026-06-01T08:59:59", "2026-06-01T09:00:00"),
        ("09:00-20:00", "Mon-Sun", "2026-06-01T19:59:59", "2026-06-01T19:59:59"),
        ("09:00-20:00", "Mon-Sun", "2026-06-01T20:00:00", "2026-06-02T09:00:00"),
        ("09:00-20:00", "Mon-Sat", "2026-06-06T20:00:00", "2026-06-08T09:00:00"),
        ("09:00-12:00, 14:00-18:00", "Mon-Sun", "2026-06-01T12:00:00", "2026-06-01T14:00:00"),
        ("20:00-06:00", "Mon-Sun", "2026-06-01T05:59:59", "2026-06-01T05:59:59"),
        ("20:00-06:00", "Mon-Sun", "2026-06-01T06:00:00", "2026-06-01T20:00:00"),
        # of a night, each part belongs to its own day
        ("20:00-06:00", "Mon-Sat", "2026-06-07T01:00:00", "2026-06-08T00:00:00"),
        ("20:00-24:00", "Mon-Sun", "2026-06-01T23:59:59", "2026-06-01T23:59:59"),
        ("20:00-24:00", "Mon-Sun", "2026-06-02T00:00:00", "2026-06-02T20:00:00"),
        # 02:15 to 02:45 is left out on 29 March
        ("02:15-02:45", "Mon-Sun", "2026-03-28T03:00:00", "2026-03-30T02:15:00"),
        ("02:15-02:45", "Sun", "2026-03-28T03:00:00", "2026-04-05T02:15:00"),
        ("02:15-03:15", "Mon-Sun", "2026-03-29T01:59:59", "2026-03-29T03:00:00"),
    ],
)
def test_a_window_opens_and_closes(hours: str, days: str, start: str, opening: str) -> None:
    """The start of a window belongs to it and its end does not; midnight, weekends and missing hours are minded."""
    window = WeeklyWindow(parse_hours(hours), parse_days(days))
    assert window.next_open(at(start), BERLIN) == at(opening)


def test_an_hour_that_there_is_twice_is_open_twice() -> None:
    """At the end of summer time a window opens again where the clock is set back into it."""
    window = WeeklyWindow(parse_hours("02:00-02:30"))
    first = datetime(2026, 10, 25, 0, 0, tzinfo=UTC).timestamp()
    assert window.next_open(first, BERLIN) == first
    assert window.next_open(first + 1800, BERLIN) == first + 3600
    assert window.next_open(first + 5400, BERLIN) == first + 25 * 3600


def test_a_day_that_there_is_not_is_passed_over() -> None:
    """In Samoa there was no Friday 30 December 2011: the next one is a week later."""
    apia = ZoneInfo("Pacific/Apia")
    window = WeeklyWindow(ALL_HOURS, parse_days("Fri"))
    assert window.next_open(at("2011-12-29T00:00", apia) + 86_000, apia) == at("2012-01-06T00:00", apia)


def test_what_waits_for_ever_is_left_alone() -> None:
    """The instant that never comes is not moved."""
    assert WeeklyWindow(parse_hours("09:00-10:00")).next_open(NEVER, BERLIN) == NEVER


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("09:00-20:00", ((32_400, 72_000),)),
        (" 9:00 - 20:30 ", ((32_400, 73_800),)),
        ("00:00-24:00", ALL_HOURS),
        ("20:00-06:00", ((0, 21_600), (72_000, 86_400))),
        ("20:00-00:00", ((72_000, 86_400),)),
        ("14:00-18:00,09:00-12:00", ((32_400, 43_200), (50_400, 64_800))),
    ],
)
def test_hours_are_read(text: str, hours: tuple[tuple[int, int], ...]) -> None:
    """Hours are ranges of times of the day, several with commas, also over midnight."""
    assert parse_hours(text) == hours


@pytest.mark.parametrize(
    "text", ["", "9-20", "09:00", "09:60-10:00", "24:01-25:00", "09:00-09:00", "9:00\N{EN DASH}10:00", ","]
)
def test_what_are_no_hours_is_refused(text: str) -> None:
    """Text that is no range of hours, or a range without length, is refused with what to write."""
    with pytest.raises(ValueError, match=r'write hours such as "09:00-20:00"|the whole day is "00:00-24:00"'):
        parse_hours(text)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("Mon-Sat", {0, 1, 2, 3, 4, 5}),
        ("sat-TUE", {5, 6, 0, 1}),
        ("Mon, Wed,Fri", {0, 2, 4}),
        ("Monday - Wednesday, sun", {0, 1, 2, 6}),
        ("Thu", {3}),
        ("Mon-Sun", set(ALL_DAYS)),
    ],
)
def test_days_are_read(text: str, days: set[int]) -> None:
    """Days are names, short or long, and ranges of them, also over the weekend."""
    assert parse_days(text) == days


@pytest.mark.parametrize("text", ["", "Mo", "Mon-", "-Fri", "Mon-Wed-Fri", "Mon Fri", "weekdays"])
def test_what_are_no_days_is_refused(text: str) -> None:
    """Text that names no days is refused with what to write."""
    with pytest.raises(ValueError, match=r'is not a day; write days such as "Mon-Sat" or "Mon, Wed, Fri"'):
        parse_days(text)
