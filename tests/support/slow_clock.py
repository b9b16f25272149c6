"""An independent oracle of local time: it looks at every minute, and knows nothing of offsets and their changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

#: Instants at which a zone's offset changes, by an hour, half an hour, a quarter, and a day that there is not.
CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00Z"),
    ("America/New_York", "2026-03-08T07:00Z"),
    ("America/New_York", "2026-11-01T06:00Z"),
    ("America/New_York", "2050-03-13T07:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
    ("Asia/Kathmandu", "1985-12-31T18:30Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"),
]
_DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def change(number: int) -> tuple[ZoneInfo, datetime]:
    """Return the zone and the instant of one of the changes."""
    zone, at = CHANGES[number]
    return ZoneInfo(zone), datetime.fromisoformat(at)


def is_open(at: datetime, zone: ZoneInfo, hours: str, days: str) -> bool:
    """Return whether an instant is within hours such as `20:00-06:00` on days such as `Sat-Tue`."""
    local = at.astimezone(zone)
    time = local.strftime("%H:%M")
    start, end = hours.split("-")
    in_hours = start <= time < end if start < end else time >= start or time < end
    first, last = (_DAYS.index(day) for day in days.split("-"))
    named = [*range(first, 7), *range(last + 1)] if first > last else [*range(first, last + 1)]
    return in_hours and local.weekday() in named


def next_open(at: datetime, zone: ZoneInfo, hours: str, days: str) -> datetime:
    """Return the first instant from `at` on that is open, looking at every minute."""
    if is_open(at, zone, hours, days):
        return at
    minute = at.replace(second=0, microsecond=0)
    while not is_open(minute := minute + timedelta(minutes=1), zone, hours, days):
        assert minute - at < timedelta(days=30)
    return minute


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant with a local time, else the first with a later one, looking at every minute."""
    start = wall.replace(tzinfo=UTC) - timedelta(hours=40)
    minutes = [start + timedelta(minutes=number) for number in range(80 * 60)]
    locals_ = [minute.astimezone(zone).replace(tzinfo=None) for minute in minutes]
    if wall in locals_:
        return minutes[locals_.index(wall)]
    return next(minute for minute, local in zip(minutes, locals_, strict=True) if local > wall)
