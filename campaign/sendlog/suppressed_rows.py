"""Skip the rows of a CSV whose addresses are suppressed, before a run: `SuppressedRows.skip_suppressed`."""

from __future__ import annotations

import json
from array import array

from campaign.sendlog.campaign_connection import CampaignConnection

#: How many rows one transaction changes: others wait for its end.
_ROWS_PER_TRANSACTION = 5000


class SuppressedRows(CampaignConnection):
    """The part of `PreparationLog` about the suppression list."""

    def note_list(self, name: str) -> None:
        """Store the name of the list to which this run's mails belong; suppressions of this list hold for them."""
        self._list = name
        with self._preparation() as connection:
            connection.execute(self._sql.note_list, self._arguments(list=name))

    def skip_suppressed(self) -> int:
        """Skip the queued rows of this CSV whose addresses are suppressed; return the number of rows.

        The rows are found while others may write. An address that is suppressed meanwhile is noticed by the run.
        """
        arguments = self._arguments(list=self._list, enlistment=self._enlistment)
        if self._one(self._sql.any_suppression) is None:
            return 0
        with self._reading():
            ids = array("q", (row[0] for row in self._connection.stream(self._sql.suppressed_rows, arguments)))
        skipped = 0
        for start in range(0, len(ids), _ROWS_PER_TRANSACTION):
            some = json.dumps(ids[start : start + _ROWS_PER_TRANSACTION].tolist())
            with self._preparation() as connection:
                skipped += connection.execute(self._sql.skip_suppressed, arguments | {"ids": some}).rowcount
        return skipped
