"""Take back what a CSV changed that was not read to its end: `UnfinishedReading.take_back`.

A large CSV is written in parts, each a transaction of its own, so that others can write to the log meanwhile. Its new
rows, and those that it changes, have the number of the next enlistment, which no run sends. A log that has begun a
reading says so until the reading is whole; what the rows were before is kept until then.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from campaign.sendlog.campaign_connection import CampaignConnection

if TYPE_CHECKING:
    from campaign.sendlog.database import LogConnection

#: How many rows one transaction takes back: about as long as a part of a CSV takes.
_ROWS_PER_TRANSACTION = 5000


class UnfinishedReading(CampaignConnection):
    """The part of `PreparationLog` that knows whether the last CSV was read to its end."""

    def take_back(self) -> None:
        """Let the log be as it was before a CSV that was not read to its end; do nothing if the last one was.

        The caller prepares the campaign. The rows that could not be mailed are gone, so the next CSV is read even if
        it is the one enlisted last. A row that an operator has skipped meanwhile stays skipped.
        """
        found = self._one(self._sql.unfinished_reading)
        if found is not None:
            after, step = found
            self._take_back_new(after)
            self._take_back_changed()
            with self._preparation() as connection:
                steps = json.loads(connection.execute(self._sql.steps_and_quota, self._arguments()).fetchone()[0])
                self._rename_first_step(connection, step, steps[0])
                connection.execute(self._sql.forget_reading, self._arguments())
        self._forget_former()

    def _begin_reading(self, connection: LogConnection, first_step: str) -> None:
        """Write, with the first rows of a CSV, that it is not whole."""
        connection.execute(self._sql.begin_reading, self._arguments(step=first_step))

    def _forget_former(self) -> None:
        """Forget what the rows were before a CSV that is whole now."""
        while ids := self._ids(self._sql.former_rows):
            with self._preparation() as connection:
                connection.execute(self._sql.forget_former, ids)

    def _take_back_new(self, after: int) -> None:
        first = after
        while ids := self._ids(self._sql.rows_after, after=after):
            with self._preparation() as connection:
                connection.execute(self._sql.delete_new, ids | {"first": first})
                connection.execute(self._sql.leave_out, ids)
            after = json.loads(str(ids["ids"]))[-1]

    def _take_back_changed(self) -> None:
        while ids := self._ids(self._sql.former_rows):
            with self._preparation() as connection:
                connection.execute(self._sql.restore_skipped, ids)
                connection.execute(self._sql.restore_former, ids)
                connection.execute(self._sql.forget_former, ids)

    def _ids(self, statement: str, **more: object) -> dict[str, object]:
        """Return the arguments of a statement about the next rows to take back; nothing if there are none."""
        with self._reading():
            found = self._connection.execute(statement, self._arguments(limit=_ROWS_PER_TRANSACTION, **more))
            ids = [row[0] for row in found.fetchall()]
        return self._arguments(ids=json.dumps(ids)) if ids else {}

    def _rename_first_step(self, connection: LogConnection, before: str, now: str) -> None:
        """Let the rows of a campaign without steps be those of its first step, or the other way round."""
        if before != now and "" in {before, now}:
            connection.execute(self._sql.rename_first_step, self._arguments(before=before, after=now))
