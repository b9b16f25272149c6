"""The suppression list of a send log, `SuppressionList`: the addresses that get no mail, of one list or of all.

A run looks an address up in the transactions that make its steps durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from campaign.clock import instant
from campaign.sendlog.shared_log import SharedLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from campaign.sendlog.database import LogConnection

#: What a suppression of all lists has in place of a list's name.
ALL_LISTS = ""
UNSUBSCRIBED = "unsubscribed"


class Suppression(NamedTuple):
    """An address that gets no mail."""

    #: In lower case, the domain in A-labels.
    address: str
    #: The list; empty for all lists.
    mailing_list: str
    reason: str
    #: Seconds since the epoch.
    at: float
    #: The campaign and the key of the mail that was answered; empty if an operator added the address.
    campaign: str = ""
    key: str = ""

    def __str__(self) -> str:
        """Return why a recipient is skipped, as the send log has it."""
        return f"suppressed: {self.reason} {instant(self.at):%Y-%m-%d} ({self.mailing_list or 'all lists'})"


class SuppressionList(SharedLog):
    """The suppression list, beside a run; the log is created if it does not exist."""

    def add(
        self, addresses: Iterable[str], *, reason: str, mailing_list: str = ALL_LISTS, campaign: str = "", key: str = ""
    ) -> int:
        """Suppress addresses, all of them or none; return how many are new. One that is there keeps its reason.

        Args:
            addresses: in lower case, the domain in A-labels.
            reason: why, in a few words.
            mailing_list: the list; empty for all lists.
            campaign: the campaign whose mail was answered, if one was.
            key: the recipient's key in it.
        """
        common = {"list": mailing_list, "reason": reason, "now": self._clock.now(), "campaign": campaign, "key": key}
        with self._transaction() as connection:
            return connection.executemany(
                self._sql.suppress, [common | {"address": each} for each in addresses]
            ).rowcount

    def merge(self, entries: Iterable[Suppression]) -> int:
        """Add the entries of another list, all of them or none; return how many are new."""
        rows = (
            {
                "address": entry.address,
                "list": entry.mailing_list,
                "reason": entry.reason,
                "now": entry.at,
                "campaign": entry.campaign,
                "key": entry.key,
            }
            for entry in entries
        )
        with self._transaction() as connection:
            return connection.executemany(self._sql.suppress, rows).rowcount

    def remove(self, address: str, *, mailing_list: str | None = None) -> int:
        """Lift the suppressions of an address, of one list or (None) of every; return how many there were."""
        with self._transaction() as connection:
            return connection.execute(self._sql.unsuppress, {"address": address, "list": mailing_list}).rowcount

    def entries(self, *, mailing_list: str | None = None) -> Iterator[Suppression]:
        """Yield the suppressions that hold for a list, or (None) all, oldest first."""
        with self._reading():
            for row in self._connection.stream(self._sql.suppressions, {"list": mailing_list}):
                yield Suppression(*row)

    def unsubscribe(self, token: str) -> Suppression | None:
        """Suppress the address that an unsubscribe token names, for the list of its mail; return the suppression.

        A false token changes nothing but a count, and takes as long as a true one: both write to the disk once.

        Returns:
            None if the token is false.
        """
        with self._transaction() as connection:
            rows = connection.execute(self._sql.row_of_tag, {"row": self._tags.row_in_token(token) or 0}).fetchall()
            for campaign, email, key, mailing_list in rows:
                if self._tags.is_unsubscribe_token(token, mailing_list):
                    entry = Suppression(email.lower(), mailing_list, UNSUBSCRIBED, self._clock.now(), campaign, key)
                    address, _, reason, at, *_ = entry
                    arguments = {"address": address, "list": mailing_list, "reason": reason, "now": at}
                    connection.execute(self._sql.suppress, arguments | {"campaign": campaign, "key": key})
                    return entry
            connection.execute(self._sql.count_forged)
        return None

    def knows(self, token: str) -> bool:
        """Return whether this log signed an unsubscribe token."""
        with self._reading():
            rows = self._connection.execute(
                self._sql.row_of_tag, {"row": self._tags.row_in_token(token) or 0}
            ).fetchall()
        return any(self._tags.is_unsubscribe_token(token, mailing_list) for *_, mailing_list in rows)

    @property
    def forged(self) -> int:
        """How many unsubscribe links had a false token."""
        with self._reading():
            return int(self._connection.execute(self._sql.forged).fetchone()[0] or 0)


def suppression_of(connection: LogConnection, address: str, mailing_list: str) -> Callable[[], Suppression | None]:
    """Ask why an address, in lower case, gets no mail of a list, and return what reads the answer: None if it may."""
    asked = connection.execute(connection.sql.suppressed, {"address": address, "list": mailing_list})

    def read() -> Suppression | None:
        row = asked.fetchone()
        return None if row is None else Suppression(address, row[2], row[0], row[1])

    return read
