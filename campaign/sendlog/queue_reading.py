"""Read how the queue of a send log stands, for a plan or a watch, without changing it: `QueueReader`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from campaign.model import NEVER, Status
from campaign.sendlog.reading import LogReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from campaign.model import Rate


class Progress(NamedTuple):
    """How far one step of one key is."""

    key: str
    step: str
    state: Status
    #: When its intent to send became durable (seconds since the epoch); None if it never did.
    sent_at: float | None
    #: When the row is due (seconds since the epoch); less than `FIRST_INSTANT` is a rank.
    not_before: float
    #: The batch that took the row up; None: none yet.
    batch: int | None


class QueueContent(NamedTuple):
    """What tells one enlistment of a campaign from another with other rows, messages or steps."""

    #: The fingerprint of the CSV's bytes, the templates and the way it is read.
    digest: str
    #: The names of the steps, as JSON.
    steps: str


class QueueState(NamedTuple):
    """How a campaign's queue stands, for a run that sends nothing at present."""

    #: The number of the enlistment that was made last.
    enlistment: int
    content: QueueContent
    #: When the first of its rows that no run has in hand is due (seconds since the epoch); None: there is none.
    next_due: float | None


class QueueReader(LogReader):
    """A send log, open for reading: the rows of one campaign, and what was sent lately.

    Raises:
        SendLogUnusableError: there is no log, or it cannot be read.
    """

    def state(self, name: str) -> QueueState | None:
        """Return how the queue of a campaign stands; None if the log does not contain the campaign."""
        if (found := self._find(name)) is None:
            return None
        campaign, _, _, _, digest, enlistment, steps = found
        due = {"campaign": campaign, "enlistment": enlistment, "after": -1.0, "never": NEVER, "domains": "[]"}
        row = self._one(self._sql.next_due, due)
        return QueueState(enlistment, QueueContent(digest, steps), row[0] if row else None)

    def progress(self, name: str) -> Iterator[Progress]:
        """Yield each step of each key of a campaign; nothing if the log does not contain the campaign."""
        if (found := self._find(name)) is not None:
            for key, step, state, *rest in self._rows(self._sql.progress, {"campaign": found[0]}):
                yield Progress(key, step, Status(state), *rest)

    def draw_key(self, name: str) -> bytes | None:
        """Return the secret with which a campaign draws its holdout; None before its first run."""
        found = self._find(name)
        return None if found is None else bytes(found[1])

    def sent_by_quarter(self) -> list[tuple[float, int]]:
        """Return the messages of all campaigns by quarter of an hour, as (its first instant, number), oldest first."""
        return list(self._rows(self._sql.sent_by_quarter))

    def spent(
        self, status: Status, rates: Sequence[Rate], *, now: float, domain: str | None = None
    ) -> list[tuple[float, int]]:
        """Return the permits that were used in the windows of `rates` up to now, as (instant, number), oldest first.

        Args:
            status: `sending` for messages, `issuing` for tokens.
            rates: the longest period decides how far back to look.
            now: seconds since the epoch.
            domain: count only recipients of this domain.
        """
        if not rates:
            return []
        period = max(rate.period for rate in rates).total_seconds()
        arguments = {"state": status, "since": now - period * 1.01, "piece": period / 1000, "domain": domain}
        return list(self._rows(self._sql.spent if domain is None else self._sql.spent_domain, arguments))

    def suppressed(self, mailing_list: str) -> frozenset[str]:
        """Return the addresses, in lower case, that get no mail of a list."""
        return frozenset(row[0] for row in self._rows(self._sql.suppressed_addresses, {"list": mailing_list}))
