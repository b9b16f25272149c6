"""Read a point in time such as `abandoned_at + 1h`, and the times of a CSV: `Moment.parse`, `parse_time`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from campaign.schedule.duration import duration_text, parse_duration
from campaign.schedule.zones import instant_of

if TYPE_CHECKING:
    from datetime import tzinfo

_WRITTEN = re.compile(r"([^\W\d]\w*)((?:\s*[+-][^+-]*)*)")
_TERM = re.compile(r"([+-])([^+-]*)")
_EXAMPLE = 'write a column or an earlier step and a duration, such as "abandoned_at + 1h"'
_LONGEST = timedelta(days=3660)
#: Plus or minus the longest delay, in any zone, these are after the epoch and before `NEVER`.
_YEARS = range(1981, 9981)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: that of a column or of an earlier step, plus a duration, or a fixed one."""

    #: The column's or the step's name; of a fixed time, the time as it is written.
    name: str
    #: Negative: before that.
    delay: timedelta = timedelta()
    #: Whether `name` is itself a time, the same for all rows.
    is_fixed: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the moment that `"abandoned_at + 1h"`, `"first + 1d 12h"` or `"2026-12-24T09:00"` means.

        Raises:
            ValueError: the text is none of these.
        """
        text = text.strip()
        if text[:1].isdecimal():
            _refuse_duration(text)
            parse_time(text)
            return cls(text, is_fixed=True)
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not a time; {_EXAMPLE}")
        delay = timedelta()
        for sign, duration in _TERM.findall(found[2]):
            try:
                part = parse_duration(duration.strip())
                delay += part if sign == "+" else -part
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{error} (in {text!r})") from None
        if abs(delay) > _LONGEST:
            raise ValueError(f'{text!r} is more than ten years away; write a duration such as "3d"')
        return cls(found[1], delay)

    def __str__(self) -> str:
        """Return the moment as a campaign file writes it."""
        if not self.delay:
            return self.name
        return f"{self.name} {'-' if self.delay < timedelta() else '+'} {duration_text(abs(self.delay))}"


def parse_time(text: str) -> datetime:
    """Return a time in ISO 8601, with or without a zone; a date alone is its first instant.

    Raises:
        ValueError: the text is not such a time.
    """
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f'{text!r} is not a time in ISO 8601; write one like "2026-12-24T09:00+01:00" or "2026-12-24 09:00"'
        ) from None


def instant_in(time: datetime, zone: tzinfo | None) -> float:
    """Return the instant (seconds since the epoch) of a time; one without a zone is read in `zone`, which it needs.

    Raises:
        ValueError: the year is out of range.
    """
    if time.year not in _YEARS:
        raise ValueError(f"{time.isoformat()!r} is out of range; write a year such as 2026")
    return time.timestamp() if zone is None else instant_of(time, zone)


def _refuse_duration(text: str) -> None:
    """Refuse a duration that does not say from when it counts."""
    try:
        parse_duration(text)
    except ValueError:
        return
    raise ValueError(f"{text!r} does not say from when; {_EXAMPLE}")
