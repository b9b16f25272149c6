"""Find a time zone by its IANA name, and the instant of a local time: `find_zone`, `instant_of`."""

from __future__ import annotations

import difflib
import math
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

if TYPE_CHECKING:
    from datetime import tzinfo


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo:
    """Return the zone with an IANA name such as `Europe/Berlin`.

    Raises:
        ValueError: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        near = _nearest(name)
        hint = f'did you mean "{near}"?' if near else 'write an IANA name such as "Europe/Berlin"'
        raise ValueError(f"{name!r} is not a time zone; {hint}") from None


def offset_s(zone: ZoneInfo, at: int) -> int:
    """Return the seconds by which local time is ahead of UTC at an instant (whole seconds since the epoch)."""
    offset = datetime.fromtimestamp(at, zone).utcoffset() or timedelta()
    return round(offset.total_seconds())


def instant_of(wall: datetime, zone: tzinfo) -> float:
    """Return the instant (seconds since the epoch) of a local time.

    A time that a change to summer time leaves out is the first instant after the gap. Of a time that there is twice,
    it is the first of the two.
    """
    # PEP 495: in a gap the first reading uses the offset before it, and so is the later instant; in an overlap it is
    # the earlier one.
    first, second = (wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if first <= second or not isinstance(zone, ZoneInfo):
        return first
    return float(first_change(zone, math.floor(second) - 1, math.floor(first) + 1))


def first_change(zone: ZoneInfo, start: int, end: int) -> int:
    """Return the first instant after `start` with another offset than at `start`; `end` has another one, too.

    Between the two the offset may change only once: the search is a bisection.
    """
    before = offset_s(zone, start)
    while end - start > 1:
        middle = (start + end) // 2
        if offset_s(zone, middle) == before:
            start = middle
        else:
            end = middle
    return end


def _nearest(name: str) -> str | None:
    """Return the zone that was probably meant: in other letters, by its city, or with a slip in the city's name."""
    known, cities = _known()
    wanted = name.strip().replace(" ", "_").lower()
    region, _, city = wanted.rpartition("/")
    if found := known.get(wanted) or cities.get(city):
        return found
    # only the region's own cities, so that a column full of other words costs little
    close = difflib.get_close_matches(wanted, [zone for zone in known if zone.rpartition("/")[0] == region], n=1)
    return known[close[0]] if region and close else None


@cache
def _known() -> tuple[dict[str, str], dict[str, str]]:
    """Return the zones by their names and by their cities, in lower case."""
    names = sorted(available_timezones())
    cities = {name.lower().rpartition("/")[2]: name for name in names if "/" in name}
    return {name.lower(): name for name in names}, cities
