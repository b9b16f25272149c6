"""Move the times in a sample's CSV to the present: `fresh`."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
#: `2026-05-14T17:12`, or a day as an email writes it: `Sunday 17 May`, `3 March`.
_TIME = re.compile(
    r"\b(?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2})\b"
    rf"|(?:\b(?P<weekday>{'|'.join(_WEEKDAYS)}) )?\b(?P<day>[0-9]{{1,2}}) (?P<month>{'|'.join(_MONTHS)})\b"
)


def fresh(text: str, *, made: datetime, now: datetime) -> str:
    """Return a sample's CSV with its times moved from the day of the sample to now.

    Times up to the day of `made` keep their distance from the present. Later ones, such as the end of an offer, and
    days without a time move by whole days, so that an end at midnight stays one.

    Args:
        text: the CSV. Its times are local ones without a zone; its days without a year are of the year of `made`.
        made: when the CSV's times were the present, with a zone.
        now: the present, with a zone.
    """
    moved = timedelta(minutes=(now - made) // timedelta(minutes=1))
    days = timedelta(days=math.ceil((now - made) / timedelta(days=1)))

    def later(found: re.Match[str]) -> str:
        if found["time"]:
            time = datetime.fromisoformat(found["time"])
            return (time + (moved if time.date() <= made.date() else days)).isoformat(timespec="minutes")
        day = date(made.year, _MONTHS.index(found["month"]) + 1, int(found["day"])) + days
        weekday = f"{_WEEKDAYS[day.weekday()]} " if found["weekday"] else ""
        return f"{weekday}{day.day} {_MONTHS[day.month - 1]}"

    return _TIME.sub(later, text)
