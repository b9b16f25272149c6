"""Combine due time, end and window of one step: `Schedule`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from campaign.errors import ScheduleError
from campaign.model import NEVER
from campaign.schedule.moment import instant_in, parse_time
from campaign.schedule.zones import find_zone

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from zoneinfo import ZoneInfo

    from campaign.schedule.moment import Moment
    from campaign.schedule.window import WeeklyWindow


class Schedule:
    """When one step may be mailed to a row: due time, end, and the hours and days of its recipient.

    All instants are seconds since the epoch. Variables are those of the row, as in templates.
    """

    def __init__(
        self,
        *,
        due: Moment | None = None,
        until: Moment | None = None,
        window: WeeklyWindow | None = None,
        zone: str | None = None,
        default_zone: ZoneInfo | None = None,
        earlier: Collection[str] = (),
    ) -> None:
        """Make a schedule.

        Args:
            due: when the step is due; None: at once.
            until: after which instant the mail is too late; None: never.
            window: the hours and days at which mail may go out; None: always.
            zone: the column with the recipient's IANA zone.
            default_zone: the zone of rows without one.
            earlier: the names of the steps before this one; every other name in `due` and `until` is a column.
        """
        self.due = due
        self.until = until
        self.window = window
        self.zone = zone
        self.default_zone = default_zone
        self._earlier = frozenset(earlier)

    @property
    def follows(self) -> str | None:
        """The step from whose mail the due time counts; None if it counts from a column, is fixed, or is at once."""
        return self.due.name if self.due and not self.due.is_fixed and self.due.name in self._earlier else None

    @property
    def columns(self) -> dict[str, str]:
        """The columns that must be in the CSV, each with the key that names it: `due`, `until` or `zone`."""
        found = {self.zone: "zone"} if self.zone else {}
        for key, moment in (("until", self.until), ("due", self.due)):
            if moment and not moment.is_fixed and moment.name not in self._earlier:
                found[moment.name] = key
        return found

    def due_at(self, variables: Mapping[str, Any], sent: Mapping[str, float]) -> float:
        """Return when the row is due: 0 is at once, `NEVER` that the step it counts from has not been sent.

        Args:
            variables: the row's variables.
            sent: when each earlier step was sent, by its name.

        Raises:
            ScheduleError: the column's time cannot be read, or has no zone.
        """
        return 0.0 if self.due is None else self._instant(self.due, variables, sent, unknown=NEVER)

    def until_at(self, variables: Mapping[str, Any], sent: Mapping[str, float]) -> float:
        """Return the instant after which the row is too late; `math.inf` if there is none, or none yet.

        Raises:
            ScheduleError: the column's time cannot be read, or has no zone.
        """
        return math.inf if self.until is None else self._instant(self.until, variables, sent, unknown=math.inf)

    def next_open(self, at: float, variables: Mapping[str, Any]) -> float:
        """Return the first instant from `at` on at which the row's recipient may be mailed.

        Raises:
            ScheduleError: the row has no zone, or an unknown one.
        """
        return at if self.window is None else self.window.next_open(at, self.zone_of(variables))

    def zone_of(self, variables: Mapping[str, Any]) -> ZoneInfo:
        """Return the zone of the row's recipient.

        Raises:
            ScheduleError: the row has none and there is no `default_zone`, or its zone is unknown.
        """
        name = str(variables.get(self.zone) or "").strip() if self.zone else ""
        if not name and self.default_zone is not None:
            return self.default_zone
        if not name:
            where = f"The cell {self.zone} is empty" if self.zone else "The row has no time zone"
            raise ScheduleError(f'{where}; write default_zone = "Europe/Berlin" under [schedule].')
        try:
            return find_zone(name)
        except ValueError as error:
            raise ScheduleError(f"The cell {self.zone}: {_ended(error)}") from None

    def _instant(
        self, moment: Moment, variables: Mapping[str, Any], sent: Mapping[str, float], *, unknown: float
    ) -> float:
        delay = moment.delay.total_seconds()
        if not moment.is_fixed and moment.name in self._earlier:
            return sent[moment.name] + delay if moment.name in sent else unknown
        written = moment.name if moment.is_fixed else str(variables.get(moment.name, "")).strip()
        where = "The time" if moment.is_fixed else f"The cell {moment.name}"
        if not written:
            raise ScheduleError(f'{where} is empty; write a time like "2026-12-24T09:00+01:00".')
        try:
            time = parse_time(written)
            if time.tzinfo is None and not (self.zone or self.default_zone):
                raise ValueError(
                    f'{written!r} has no zone; write one like "2026-12-24T09:00+01:00", or write '
                    'default_zone = "Europe/Berlin" under [schedule]'
                )
            return instant_in(time, self.zone_of(variables) if time.tzinfo is None else None) + delay
        except ValueError as error:
            raise ScheduleError(f"{where}: {_ended(error)}") from None


def _ended(error: ValueError) -> str:
    """Return an error as the end of a sentence."""
    text = str(error)
    return text if text.endswith("?") else f"{text}."
