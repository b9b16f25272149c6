"""The operator's changes to rows that a run must not change: `OperatorActions`, one transaction per method."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from campaign.model import NEVER, Status
from campaign.sendlog.campaign_connection import CampaignConnection

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROWS_PER_TRANSACTION = 1000


class OperatorActions(CampaignConnection):
    """What implements `OperatorLog`."""

    def is_empty(self) -> bool:
        """Return whether the log has no row, in any campaign."""
        with self._transaction() as connection:
            return connection.execute(self._sql.anybody).fetchone() is None

    def retry(self, *, state: Status = Status.FAILED, email: str | None = None) -> int:
        """Put failed (or skipped) rows back to `queued`, with no faults counted; return the number of rows.

        A later step then waits for the step before it, unless that is sent.
        """
        with self._transaction() as connection:
            number = connection.execute(self._sql.retry, self._arguments(state=state, email=email)).rowcount
            connection.execute(self._sql.hold_steps, self._arguments(never=NEVER))
            return number

    def skip_key(self, key: str, *, reason: str) -> int:
        """Set the rows of all steps with this key to `skipped`, unless their messages were or may have been sent.

        It may be called beside a run: a row that the run has claimed and not begun is skipped, too. Return the number
        of rows.
        """
        with self._transaction() as connection:
            return connection.execute(self._sql.skip_key, self._arguments(key=key, reason=reason)).rowcount

    def state_of(self, key: str) -> Status | None:
        """Return the state of the row with this key, or None; of several steps, the one under way, else the last."""
        with self._transaction() as connection:
            row = connection.execute(self._sql.state_of_key, self._arguments(key=key)).fetchone()
        return Status(row[0]) if row else None

    def skip_missing(self, keys: Iterable[str], *, reason: str) -> int:
        """Set the queued rows with none of these keys to `skipped`; return the number of rows.

        It may be called beside a run. An enlisted CSV that has such a row again puts it back to `queued`.
        """
        with self._reading():
            self._connection.execute(self._sql.make_present)
        with self._transaction() as connection:
            connection.executemany(self._sql.add_present, ({"key": key} for key in keys))
            ids = [row[0] for row in connection.execute(self._sql.find_missing, self._arguments())]
        skipped = 0
        for start in range(0, len(ids), _ROWS_PER_TRANSACTION):  # a run must not wait long for the log
            arguments = self._arguments(ids=json.dumps(ids[start : start + _ROWS_PER_TRANSACTION]), reason=reason)
            with self._transaction() as connection:
                skipped += connection.execute(self._sql.skip_missing, arguments).rowcount
                connection.execute(self._sql.forget_source, arguments)
        return skipped

    def keep_uncertain(self, *, email: str | None = None) -> int:
        """Set uncertain rows to `sent`; return the number of rows."""
        with self._transaction() as connection:
            return connection.execute(self._sql.keep_uncertain, self._arguments(email=email)).rowcount

    def revoke_uncertain(self, *, email: str | None = None) -> int:
        """Request the revocation of the tokens of uncertain rows; return the number of tokens."""
        with self._transaction() as connection:
            return connection.execute(self._sql.revoke_uncertain, self._arguments(email=email)).rowcount

    def resend_uncertain(self, *, email: str | None = None) -> tuple[int, int]:
        """Put uncertain rows back to `queued` if Clerk has answered the revocation of their token, or they have none.

        Returns:
            The number of rows now queued, and the number of rows set to `sent` because their token had been used.
        """
        with self._transaction() as connection:
            arrived = connection.execute(self._sql.keep_arrived, self._arguments(email=email)).rowcount
            queued = connection.execute(self._sql.resend_uncertain, self._arguments(email=email)).rowcount
            connection.execute(self._sql.hold_steps, self._arguments(never=NEVER))
            return queued, arrived

    def count_live_links(self) -> int:
        """Return how many tokens of the campaign may still be used to sign in."""
        with self._transaction() as connection:
            return int(connection.execute(self._sql.count_live_links, self._arguments()).fetchone()[0])

    def states_of(self, email: str) -> dict[Status, int]:
        """Return the states of the rows with this address, each with its number."""
        with self._transaction() as connection:
            rows = connection.execute(self._sql.states_of_address, self._arguments(email=email)).fetchall()
        return {Status(state): number for state, number in rows}

    def count_resendable(self, *, email: str | None) -> int:
        """Return how many sent messages have this address or, with None, a token that was revoked."""
        with self._transaction() as connection:
            return int(connection.execute(self._sql.count_resendable, self._arguments(email=email)).fetchone()[0])

    def revoke_resendable(self, *, email: str) -> int:
        """Request the revocation of the tokens of the messages sent to this address; return the number of tokens."""
        with self._transaction() as connection:
            return connection.execute(self._sql.revoke_resendable, self._arguments(email=email)).rowcount

    def resend(self, *, email: str | None) -> int:
        """Put sent rows back to `queued`: those of an address, or those whose token was revoked.

        Of the steps of a key it is the latest one that was sent; the next step waits for it. A row stays `sent` until
        Clerk has answered the revocation of its token. The new message has a new token and a new Message-ID. Return
        the number of rows.
        """
        with self._transaction() as connection:
            number = connection.execute(self._sql.resend, self._arguments(email=email)).rowcount
            connection.execute(self._sql.hold_steps, self._arguments(never=NEVER))
            return number

    def revoke_everything(self) -> int:
        """Request the revocation of every token whose id is in the campaign's log; return the number of tokens.

        The links that they are in are not replaced for their readers either (`Renewals`).
        """
        with self._transaction() as connection:
            connection.execute(self._sql.note_revocation_of_all, self._arguments())
            return connection.execute(self._sql.revoke_all, self._arguments()).rowcount
