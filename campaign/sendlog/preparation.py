"""The send log before a run, `Preparation`: recover from a crash, enlist the CSV, return the permits already used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.model import LONGEST_WAIT, Recovered, Status
from campaign.sendlog.campaign_connection import CampaignConnection
from campaign.sendlog.enlisting import Enlister, Enlistment
from campaign.sendlog.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from campaign.model import InvalidRow, Rate, Recipient


class Preparation(CampaignConnection):
    """`PreparationLog` in SQLite. Each method is one transaction."""

    def recover(self) -> Recovered:
        """Settle what a crashed run left in `issuing` and `sending`, in every campaign of the log.

        A `not_before` that is further ahead than the longest wait (from a clock that was ahead) is moved back to it.
        """
        now = {"now": self._clock.now()}
        latest = {"latest": now["now"] + LONGEST_WAIT.total_seconds()}
        with self._transaction() as connection:
            orphans = connection.execute(SQL.recover_unnamed).rowcount
            revocations = connection.execute(SQL.recover_named, now).rowcount
            connection.execute(SQL.recover_issuing, now)
            uncertain = connection.execute(SQL.recover_sending, now).rowcount
            connection.execute(SQL.recover_put_off, latest)
        return Recovered(orphans, revocations, uncertain)

    def enlist(self, rows: Callable[[], Iterable[Recipient | InvalidRow]], *, source: str, digest: str) -> Enlistment:
        """Write every row of a CSV as `queued` or `skipped`, all of them or none.

        Args:
            rows: opens the CSV; not called if the CSV is the one enlisted last.
            source: the CSV's path.
            digest: the fingerprint of the CSV's bytes, the templates and the way it is read.
        """
        found = self._connection.execute(SQL.find_campaign, {"name": self._name}).fetchone()
        _, _, _, last_source, last_digest, self._enlistment = found
        if (last_source, last_digest) == (source, digest):
            return Enlistment(unchanged=True)
        with self._transaction() as connection:
            number = self._enlistment + 1
            enlister = Enlister(
                connection, campaign=self._campaign, enlistment=number, source=source, now=self._clock.now()
            )
            enlister.enlist(rows())
            connection.execute(SQL.note_source, self._arguments(source=source, source_digest=digest, enlistment=number))
        self._enlistment = number
        return enlister.result

    def note_templates(self, fingerprint: str) -> None:
        """Store the fingerprint of the templates that this run sends."""
        with self._transaction() as connection:
            connection.execute(SQL.note_templates, self._arguments(templates=fingerprint))

    def note_list(self, name: str) -> None:
        """Store the name of the list to which this run's mails belong; suppressions of this list hold for them."""
        self._list = name
        with self._transaction() as connection:
            connection.execute(SQL.note_list, self._arguments(list=name))

    def skip_suppressed(self) -> int:
        """Skip the queued rows of this CSV whose addresses are suppressed; return the number of rows."""
        with self._transaction() as connection:
            if connection.execute(SQL.any_suppression).fetchone() is None:
                return 0
            arguments = self._arguments(list=self._list, enlistment=self._enlistment)
            return connection.execute(SQL.skip_suppressed, arguments).rowcount

    def spent(self, status: Status, rates: Sequence[Rate], *, domain: str | None = None) -> list[tuple[float, int]]:
        """Return the permits that earlier runs used in the windows of `rates`, as (instant, number), oldest first.

        Args:
            status: `sending` for messages, `issuing` for tokens: a row that enters this state uses a permit.
            rates: the longest period decides how far back to look.
            domain: count only recipients of this domain.
        """
        if not rates:
            return []
        period = max(rate.period for rate in rates).total_seconds()
        since, piece = self._clock.now() - period * 1.01, period / 1000
        arguments = {"state": status, "since": since, "piece": piece, "domain": domain}
        statement = SQL.spent if domain is None else SQL.spent_domain
        return [(at, number) for at, number in self._connection.execute(statement, arguments)]
