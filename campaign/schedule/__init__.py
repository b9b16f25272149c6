"""Work out when a row may be mailed: `Schedule`. Times are read in the recipient's zone; nothing here reads a clock."""

from __future__ import annotations

from campaign.schedule.moment import Moment
from campaign.schedule.timing import Schedule
from campaign.schedule.window import WeeklyWindow
from campaign.schedule.zones import find_zone

__all__ = ["Moment", "Schedule", "WeeklyWindow", "find_zone"]
