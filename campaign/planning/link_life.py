"""Find links that expire while their reader is asleep: `dies_closed`, by the window in which mail may go out."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from campaign.schedule.zones import offset_s

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from campaign.schedule import WeeklyWindow

#: A link that lives no longer (seconds) is to be used at once, whatever the hour: a sign-in code, not an invitation.
AT_ONCE_S = 7_200.0
_DAY_S = 86_400


def closes_at(window: WeeklyWindow, at: float, zone: ZoneInfo) -> float | None:
    """Return when a window that is open at an instant closes next (seconds since the epoch); None: not in a week."""
    for _ in range(9 * len(window.hours)):
        local = datetime.fromtimestamp(at, zone)
        second = local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
        end = next((end for start, end in window.hours if start <= second < end), None)
        if end is None or local.weekday() not in window.days:
            return at
        until = at + end - second
        # on the day of a change to or from summer time the window closes by the clock on the wall
        at = until + offset_s(zone, int(at)) - offset_s(zone, int(until))
    return None


def dies_closed(window: WeeklyWindow, at: float, life: float, zone: ZoneInfo) -> float | None:
    """Return the life (seconds) with which a link would reach the next opening, if it expires shortly before it.

    The mail goes out at `at`, within the window. A link that expires within the same opening gives its reader all of
    its life, and one that is still good at the next opening gives the rest of it then. In between, a reader who looks
    the next morning finds a dead link. Links for use at once (`AT_ONCE_S`) are not meant to last until then.

    Args:
        window: the hours and days of the recipient.
        at: when the mail goes out (seconds since the epoch).
        life: of the link, in seconds.
        zone: the recipient's.
    """
    if life <= AT_ONCE_S:
        return None
    closing = closes_at(window, at, zone)
    if closing is None or at + life < closing:
        return None
    opening = window.next_open(closing, zone)
    return opening - at if at + life <= opening else None
