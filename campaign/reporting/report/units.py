"""Format numbers, times and shares for people. All times are UTC."""

from __future__ import annotations

from campaign.clock import instant

#: From this many of one unit on, a duration is given in the next larger unit.
_NEXT_UNIT_FROM = 120


def clock_time(seconds: float, *, step: float) -> str:
    """Return an instant as a label of an axis whose ticks are `step` seconds apart."""
    moment = instant(seconds)
    if step >= 86400:
        return f"{moment.day} {moment:%b}"
    if step >= 60:
        return f"{moment:%H:%M}"
    if step >= 1:
        return f"{moment:%H:%M:%S}"
    return f"{moment:%S}.{moment.microsecond // 100_000} s"


def day(seconds: float) -> str:
    """Return `3 March 2026`."""
    moment = instant(seconds)
    return f"{moment.day} {moment:%B %Y}"


def moment(seconds: float) -> str:
    """Return `3 March 2026, 10:02:07`."""
    return f"{day(seconds)}, {instant(seconds):%H:%M:%S}"


def stamp(seconds: float) -> str:
    """Return `2026-03-03 10:02:07`, for tables."""
    return f"{instant(seconds):%Y-%m-%d %H:%M:%S}"


def period(first: float, last: float) -> str:
    """Return `3 March 2026, 10:02:07 to 10:31:40 UTC`; the second date is given only if it differs."""
    end = f"{instant(last):%H:%M:%S}" if day(first) == day(last) else moment(last)
    return f"{moment(first)} to {end} UTC"


def lasting(seconds: float) -> str:
    """Return a duration with two or three digits: `0.7 ms`, `71 ms`, `1.2 s`, `45 s`, `3 min`, `4 days`."""
    if seconds < 0.9995:
        length, unit = 0.001, "ms"
    else:
        units = ((1, "s"), (60, "min"), (3600, "h"), (86400, "days"))
        length, unit = next(((each, name) for each, name in units if seconds / each < _NEXT_UNIT_FROM), units[-1])
    number = seconds / length
    return f"{number:.0f} {unit}" if number >= 9.95 else f"{round(number, 1):g} {unit}"


def share(number: float, whole: float, digits: int = 1) -> str:
    """Return a share in percent, to `digits` decimals near 0 and 100; it reads 0 or 100 only if it is exactly that."""
    if not whole or not number:
        return "0 %"
    if number == whole:
        return "100 %"
    least = 10.0**-digits
    percent = min(max(100 * number / whole, least), 100 - least)
    return f"{percent:.{digits}f} %" if percent < 10 or percent > 90 else f"{percent:.0f} %"


def rate(number: float) -> str:
    """Return a number of events per unit of time with about three digits."""
    return f"{number:,.0f}" if number >= 99.95 else f"{round(number, 1):g}" if number >= 0.95 else f"{number:.2g}"
