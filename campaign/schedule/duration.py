"""Parse and format a duration such as `"48h"` or `"1h 30m"`: `parse_duration`, `duration_text`."""

from __future__ import annotations

import re
from datetime import timedelta

_PART = re.compile(r"([0-9]{1,9})\s*(ms|s|m|h|d|w|(?:second|minute|hour|day|week)s?)(?![a-z])\s*")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def parse_duration(text: str) -> timedelta:
    """Return the duration that a text such as `"48h"`, `"30s"`, `"7d"`, `"2w"`, `"1h 30m"` or `"10 minutes"` means.

    Raises:
        ValueError: the text is not a duration, or is too long for a `timedelta`.
    """
    total, position, stripped = timedelta(), 0, text.strip()
    try:
        while part := _PART.match(stripped, position):
            unit = part[2] if part[2] in _UNITS else part[2][0]
            total += int(part[1]) * _UNITS[unit]
            position = part.end()
    except OverflowError:
        raise ValueError(f'{text!r} is too long; write a duration like "48h"') from None
    if not stripped or position != len(stripped):
        raise ValueError(f'{text!r} is not a duration; write one like "30s", "10m", "48h" or "1h 30m"')
    return total


def duration_text(duration: timedelta) -> str:
    """Return the duration as text for a campaign file, such as `1h 30m`."""
    parts = []
    for name in ("d", "h", "m", "s", "ms"):
        number, duration = divmod(duration, _UNITS[name])
        if number:
            parts.append(f"{number}{name}")
    return " ".join(parts) or "0s"
