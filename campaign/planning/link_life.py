"""Find links that expire before their reader's hours begin again: `life_needed`, `closes_at`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from campaign.schedule.zones import offset_s

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from campaign.schedule import WeeklyWindow

#: A reader's fair chance, in seconds: this much of a link's life within the hours. A link that lives no longer is to be
#: used at once, whatever the hour: a code, not an invitation.
AT_ONCE_S = 7_200.0


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


def life_needed(window: WeeklyWindow, at: float, life: float, zone: ZoneInfo, *, closing: float | None) -> float:
    """Return the life (seconds) that a link would need, if it expires before its reader had a fair chance; else 0.

    The reader may use the link until the window closes, and again from its next opening on. A link that expires in
    between is too short if less than `AT_ONCE_S` of its life fall into the window: mailed at 19:00, a link of 10 hours
    is dead at 9:00. A link that lives no longer than that is for use at once, and is never too short.

    Args:
        window: the hours and days of the reader.
        at: when the mail goes out (seconds since the epoch); the window is open then.
        life: of the link, in seconds.
        zone: the reader's.
        closing: when the window closes, from `closes_at`.
    """
    if life <= AT_ONCE_S or closing is None or at + life < closing or closing - at >= AT_ONCE_S:
        return 0.0
    opening = window.next_open(closing, zone)
    return opening - at if at + life <= opening else 0.0
