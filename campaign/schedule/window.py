"""Find when a recipient may be mailed: `WeeklyWindow`, the hours and days of a week in a time zone."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING

from campaign.model import NEVER
from campaign.schedule.zones import first_change, offset_s

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_HOURS = re.compile(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", re.ASCII)
_HOUR_S = 3600
_DAY_S = 86_400
#: How far the search for a change of the offset leaps; changes are weeks apart.
_LEAP_S = 6 * _HOUR_S
_HOURS_EXAMPLE = 'write hours such as "09:00-20:00", or "09:00-12:00, 14:00-18:00"'
_DAYS_EXAMPLE = 'write days such as "Mon-Sat" or "Mon, Wed, Fri"'

#: From when and until when of a day, in seconds; the end does not belong to it.
Hours = tuple[tuple[int, int], ...]
#: The days of the week, from 0 for Monday.
Days = frozenset[int]
ALL_HOURS: Hours = ((0, _DAY_S),)
ALL_DAYS: Days = frozenset(range(7))


class WeeklyWindow:
    """The hours and days at which mail may go out, by the recipient's local time.

    An instant is open if its local time is within the hours, and its local day is one of the days. So of a night such
    as 20:00-06:00 the part after midnight belongs to the next day.
    """

    def __init__(self, hours: Hours = ALL_HOURS, days: Days = ALL_DAYS) -> None:
        self.hours = hours
        self.days = days
        #: The closed time that was last looked at, in each zone: from when, until when.
        self._closed: dict[str, tuple[float, float]] = {}

    def is_open(self, at: float, zone: ZoneInfo) -> bool:
        """Return whether an instant (seconds since the epoch) is within the window."""
        local = datetime.fromtimestamp(at, zone)
        second = local.hour * _HOUR_S + local.minute * 60 + local.second
        return local.weekday() in self.days and any(start <= second < end for start, end in self.hours)

    def next_open(self, at: float, zone: ZoneInfo) -> float:
        """Return the first instant from `at` (seconds since the epoch) on that is within the window."""
        if not at < NEVER or self.is_open(at, zone):
            return at
        start, end = self._closed.get(zone.key, (math.inf, 0.0))
        if not start <= at < end:
            start, end = at, self._opening(math.floor(at), zone)
            self._closed[zone.key] = (start, end)
        return end

    def _opening(self, at: int, zone: ZoneInfo) -> float:
        """Return the first open instant after a closed one: the next opening, or a change of the offset before it."""
        while True:
            opening = at + self._until_opening(at + offset_s(zone, at))
            change = _change_between(zone, at, opening)
            if change is None:
                return float(opening)
            if self.is_open(change, zone):
                return float(change)
            at = change

    def _until_opening(self, local: int) -> int:
        """Return the seconds from a closed local time to the next opening, if the offset stays as it is.

        `local` is the local time as if it were UTC, in seconds since the epoch.
        """
        midnight, second = local - local % _DAY_S, local % _DAY_S
        # the epoch was a Thursday
        weekday = (midnight // _DAY_S + 3) % 7
        return min(
            day * _DAY_S + start - second
            for day in range(8)
            if (weekday + day) % 7 in self.days
            for start, _ in self.hours
            if day or start > second
        )


def parse_hours(text: str) -> Hours:
    """Return the hours that `"09:00-20:00"` or `"20:00-06:00"` (over midnight) means, or several with commas.

    Raises:
        ValueError: the text is not a range of hours, or it has no length.
    """
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        match = _HOURS.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{text!r} are not hours; {_HOURS_EXAMPLE}")
        start, end = _second(match[1], match[2], text) % _DAY_S, _second(match[3], match[4], text)
        if start == end:
            raise ValueError(f'{part.strip()!r} never opens; the whole day is "00:00-24:00"')
        found += [(start, end)] if start < end else [(start, _DAY_S), (0, end)]
    return tuple(sorted(each for each in found if each[0] < each[1]))


def parse_days(text: str) -> Days:
    """Return the days that `"Mon-Sat"`, `"Sat-Tue"` or `"Mon, Wed, Fri"` means.

    Raises:
        ValueError: the text names no days.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        start = _day(first, text)
        end = _day(last, text) if dash else start
        found.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return frozenset(found)


def _second(hour: str, minute: str, text: str) -> int:
    second = int(hour) * _HOUR_S + int(minute) * 60
    if int(minute) >= 60 or second > _DAY_S:
        raise ValueError(f"{hour}:{minute} in {text!r} is not a time of the day; {_HOURS_EXAMPLE}")
    return second


def _day(name: str, text: str) -> int:
    plain = name.strip().lower()
    for names in (_DAYS, _LONG_DAYS):
        if plain in names:
            return names.index(plain)
    raise ValueError(f"{name.strip()!r} in {text!r} is not a day; {_DAYS_EXAMPLE}")


def _change_between(zone: ZoneInfo, start: int, end: int) -> int | None:
    """Return the first instant after `start` and up to `end` at which the offset changes; None if it does not."""
    before = offset_s(zone, start)
    while start < end:
        leap = min(start + _LEAP_S, end)
        if offset_s(zone, leap) != before:
            return first_change(zone, start, leap)
        start = leap
    return None
