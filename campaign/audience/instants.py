"""Read the times of a row as `[schedule]` reads them: `time_read`, for expressions, and `instant_read`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from campaign.errors import RowError, ScheduleError, TemplateError
from campaign.schedule.moment import instant_in, parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from campaign.config.definition import Definition


def instant_read(definition: Definition, text: str, variables: Mapping[str, Any]) -> float:
    """Return the instant (seconds since the epoch) that a text means in a row.

    Raises:
        RowError: the text is no time, or the row's zone is unknown.
        TemplateError: the text has no zone, and the campaign file names none.
    """
    return _read(definition, text, variables).timestamp()


def time_read(definition: Definition) -> Callable[[str, Mapping[str, Any]], datetime]:
    """Return what reads the time that a text means in a row: with a zone, or in that of the row's recipient.

    It raises as `instant_read` does.
    """

    def read(text: str, variables: Mapping[str, Any]) -> datetime:
        return _read(definition, text, variables)

    return read


def _read(definition: Definition, text: str, variables: Mapping[str, Any]) -> datetime:
    schedule = definition.schedule
    try:
        time = parse_time(text)
        if time.tzinfo is not None:
            return time
        if schedule.zone is None and schedule.default_zone is None:
            raise TemplateError(
                f'{text!r} has no zone; write it like "2026-12-24T09:00+01:00", or write '
                'default_zone = "Europe/Berlin" under [schedule].'
            )
        zone = schedule.zone_of(variables)
        return datetime.fromtimestamp(instant_in(time, zone), zone)
    except ScheduleError:
        raise
    except (ValueError, OverflowError) as error:
        raise RowError(f"{error}.") from None
