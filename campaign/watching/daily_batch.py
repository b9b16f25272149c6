"""Let new recipients become due: all at once or, with `[recipients] batch`, the next so many each day: `DailyBatch`."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from campaign.model import NEVER
from campaign.sendlog import LogReader

if TYPE_CHECKING:
    from campaign.config.definition import Definition
    from campaign.model import Batch
    from campaign.sendlog import SendLog


class DailyBatch:
    """The batches of a campaign that runs day after day.

    A day is one of the campaign's `default_zone`. The log knows when the last batch was taken, so a restart takes no
    second one.
    """

    def __init__(self) -> None:
        #: When the next batch can be taken (seconds since the epoch); `NEVER` for a campaign without batches.
        self.next_at = NEVER
        self._has_new_rows = False

    def enlisted(self) -> None:
        """Note that rows were enlisted: some of them may be new."""
        self._has_new_rows = True

    def is_due(self, now: float) -> bool:
        """Return whether there may be something to take up."""
        return self._has_new_rows or now >= self.next_at

    def take(self, log: SendLog, definition: Definition, *, now: float) -> Batch | None:
        """Take up what is to be taken up now, and return the batch, if it is one of a campaign with batches.

        It is called in a thread, while no sending of the campaign runs.

        Raises:
            SendLogError: the log cannot be written.
        """
        section = definition.recipients
        by_position, batch = section.order is not None, None
        if section.batch is None:
            self.next_at = NEVER
            log.take_batch(None, by_position=by_position, helps=False)
        else:
            zone = definition.schedule.default_zone or ZoneInfo("UTC")
            today = datetime.fromtimestamp(now, zone)
            with log.preparing():  # another watch may be about to take the same
                if datetime.fromtimestamp(_last_batch_at(log, definition.name), zone).date() < today.date():
                    batch = log.take_batch(section.batch, by_position=by_position, helps=False)
            midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
            self.next_at = (midnight + timedelta(days=1)).timestamp()
        self._has_new_rows = False
        return batch


def _last_batch_at(log: SendLog, name: str) -> float:
    """Return when the last batch was taken up (seconds since the epoch); 0 if none was."""
    with closing(LogReader(log.database)) as reader:
        batches = reader.batches(name, limit=1)
    return batches[-1].batch.at if batches else 0.0
