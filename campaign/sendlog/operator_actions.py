"""What an operator decides about rows that a run must not touch: `OperatorActions`, a transaction each."""

from __future__ import annotations

from campaign.model import Status
from campaign.sendlog.campaign_connection import CampaignConnection
from campaign.sendlog.statements import SQL


class OperatorActions(CampaignConnection):
    """`OperatorLog` in SQLite."""

    def is_empty(self) -> bool:
        """Return whether nobody was ever enlisted in the log, in any campaign."""
        with self._transaction() as connection:
            return connection.execute(SQL.anybody).fetchone() is None

    def retry(self, *, state: Status = Status.FAILED, email: str | None = None) -> int:
        """Put failed (or skipped) rows back to `queued`, with all their attempts before them; return how many."""
        with self._transaction() as connection:
            return connection.execute(SQL.retry, self._arguments(state=state, email=email)).rowcount

    def keep_uncertain(self, *, email: str | None = None) -> int:
        """Take uncertain rows as `sent`; return how many."""
        with self._transaction() as connection:
            return connection.execute(SQL.keep_uncertain, self._arguments(email=email)).rowcount

    def revoke_uncertain(self, *, email: str | None = None) -> int:
        """Have the tokens of uncertain rows revoked; return how many are to be."""
        with self._transaction() as connection:
            return connection.execute(SQL.revoke_uncertain, self._arguments(email=email)).rowcount

    def resend_uncertain(self, *, email: str | None = None) -> tuple[int, int]:
        """Put uncertain rows whose tokens are out of the world back to `queued`.

        Returns:
            How many rows are queued, and how many were taken as `sent` because their token had been used.
        """
        with self._transaction() as connection:
            arrived = connection.execute(SQL.keep_arrived, self._arguments(email=email)).rowcount
            return connection.execute(SQL.resend_uncertain, self._arguments(email=email)).rowcount, arrived

    def revoke_everything(self) -> int:
        """Have every token revoked whose id the campaign knows; return how many are to be."""
        with self._transaction() as connection:
            return connection.execute(SQL.revoke_all, self._arguments()).rowcount
