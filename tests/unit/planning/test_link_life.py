"""Links that expire before their reader's hours begin again."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from campaign.planning.link_life import closes_at, life_needed
from campaign.schedule import WeeklyWindow
from campaign.schedule.window import parse_days, parse_hours

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600.0
DAILY = WeeklyWindow(parse_hours("09:00-20:00"))
WEEKDAYS = WeeklyWindow(parse_hours("09:00-20:00"), parse_days("Mon-Fri"))
NIGHTS = WeeklyWindow(parse_hours("20:00-06:00"))


def at(text: str) -> float:
    """Return the instant of a local time in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("window", "moment", "closing"),
    [
        (DAILY, "2026-12-01T09:00", "2026-12-01T20:00"),
        (DAILY, "2026-12-01T19:59:59", "2026-12-01T20:00"),
        (NIGHTS, "2026-12-01T21:00", "2026-12-02T06:00"),
        # the night in which the clocks go forward, and the one in which they go back
        (NIGHTS, "2026-03-28T21:00", "2026-03-29T06:00"),
        (NIGHTS, "2026-10-24T21:00", "2026-10-25T06:00"),
        (WeeklyWindow(days=parse_days("Mon-Fri")), "2026-12-01T12:00", "2026-12-05T00:00"),
    ],
)
def test_a_window_closes(window: WeeklyWindow, moment: str, closing: str) -> None:
    """The end of the hours, by the clock on the wall, also over midnight."""
    assert closes_at(window, at(moment), BERLIN) == at(closing)


def test_some_windows_never_close() -> None:
    """A window of all hours and days has no closing."""
    assert closes_at(WeeklyWindow(), at("2026-12-01T12:00"), BERLIN) is None


@pytest.mark.parametrize(
    ("window", "moment", "life", "needed"),
    [
        # for use at once
        (DAILY, "2026-12-01T19:59", 1 * HOUR, 0.0),
        # 10 hours from 19:00 on end at 5:00, those from 9:00 on at 19:00
        (DAILY, "2026-12-01T19:00", 10 * HOUR, 14 * HOUR),
        (DAILY, "2026-12-01T09:00", 10 * HOUR, 0.0),
        # dead at night, but the reader had all day, or still has the morning
        (DAILY, "2026-12-01T09:00", 14 * HOUR, 0.0),
        (DAILY, "2026-12-01T19:00", 15 * HOUR, 0.0),
        # from Friday evening to Monday morning
        (WEEKDAYS, "2026-12-04T19:00", 48 * HOUR, 62 * HOUR),
        (WEEKDAYS, "2026-12-03T19:00", 48 * HOUR, 0.0),
    ],
)
def test_a_link_is_too_short_if_its_life_is_the_night(
    window: WeeklyWindow, moment: str, life: float, needed: float
) -> None:
    """A link that leaves less than two hours of the window and expires before the next one needs a longer life."""
    start = at(moment)
    assert life_needed(window, start, life, BERLIN, closing=closes_at(window, start, BERLIN)) == needed
