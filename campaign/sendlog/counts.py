"""Count the rows of a campaign: `summary` returns a `Summary`; `Recovered` says what a crash left."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.model import NEVER, Batch, Status, Waiting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from campaign.sendlog.database import LogConnection


#: A smaller `not_before` is no instant but a rank: the rows of a batch are due in its order, before all others.
FIRST_INSTANT = 1e9


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts of a campaign, as `campaign status` shows them."""

    campaign: str
    counts: Mapping[Status, int]
    #: The counts of only the rows in the CSV read last.
    here: Mapping[Status, int] = field(default_factory=dict)
    #: What the queued rows of the CSV read last wait for, in numbers of rows; a row that is due waits for nothing, or
    #: for the spent quota.
    waiting: Mapping[Waiting, int] = field(default_factory=dict)
    #: The earliest instant at which a waiting row becomes due by itself (seconds since the epoch); None if none does.
    next_due: float | None = None
    #: The quota that the last run found spent, and until when (seconds since the epoch); empty if none is spent now.
    quota: str = ""
    quota_until: float | None = None
    #: The counts of each step, in the file's order, then those of steps that the file does not have any more; empty
    #: in a campaign without steps.
    steps: Mapping[str, Mapping[Status, int]] = field(default_factory=dict)
    #: Queued rows of earlier CSVs that the CSV read last does not contain.
    elsewhere: int = 0
    #: Unexpired tokens that may exist at Clerk although their ids are unknown, and when the last of them expires.
    orphans: int = 0
    orphans_until: datetime | None = None
    #: Tokens whose revocation Clerk has not confirmed yet.
    revocations: int = 0
    #: Tokens that had been used before the revocation, although no message that may have arrived carries them.
    used_before_revoked: int = 0
    #: Clerk users that were created for recipients, and those whose creation Clerk has not answered.
    users_created: int = 0
    users_unanswered: int = 0
    #: A CSV is being read whose rows are partly counted here, or its reading was interrupted.
    is_reading: bool = False

    @property
    def recipients(self) -> int:
        """The number of recipients in the send log, each counted once however many steps there are."""
        first = next(iter(self.steps.values()), self.counts)
        return sum(first.values())

    @property
    def deliveries(self) -> int:
        """The number of rows in the send log: one for each recipient and step."""
        return sum(self.counts.values())

    def __getitem__(self, status: Status) -> int:
        """Return the number of rows in a state: one for each recipient and step."""
        return self.counts.get(status, 0)


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many rows a crashed run left in `issuing` or `sending`, and what `recover` did with them."""

    #: `issuing` without a token id: now `queued`; a token with an unknown id may exist.
    orphans: int
    #: `issuing` with a token id: now `queued`, and the token will be revoked.
    revocations: int
    #: `sending`: now `uncertain`.
    uncertain: int

    def __add__(self, other: Recovered) -> Recovered:
        """Return the sum."""
        return Recovered(
            self.orphans + other.orphans, self.revocations + other.revocations, self.uncertain + other.uncertain
        )


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """A batch, and how far it is."""

    batch: Batch
    #: Its recipients by the state of their first step.
    counts: Mapping[Status, int]


def summary(connection: LogConnection, name: str, *, campaign: int, enlistment: int, now: float) -> Summary:
    """Return a campaign's counts, read through the given connection."""
    arguments = {"campaign": campaign, "enlistment": enlistment, "now": now}
    counts = {Status(state): number for state, number in connection.execute(connection.sql.counts, arguments)}
    orphans, until = connection.execute(connection.sql.count_orphans, arguments).fetchone()
    pending, used = connection.execute(connection.sql.count_revocations, arguments).fetchone()
    created, unanswered = connection.execute(connection.sql.count_users, arguments).fetchone()
    names, quota, quota_until, is_reading = connection.execute(connection.sql.steps_and_quota, arguments).fetchone()
    waiting, next_due = _waiting(connection, arguments)
    if quota_until > now and (due := connection.execute(connection.sql.count_due, arguments).fetchone()[0]):
        waiting[Waiting.QUOTA] = waiting.get(Waiting.QUOTA, 0) + due
        next_due = min(next_due or quota_until, quota_until)
    return Summary(
        name,
        counts,
        here={Status(state): number for state, number in connection.execute(connection.sql.counts_here, arguments)},
        waiting=waiting,
        next_due=next_due,
        quota=quota if quota_until > now else "",
        quota_until=quota_until if quota_until > now else None,
        steps=_steps(connection, arguments, json.loads(names)),
        elsewhere=connection.execute(connection.sql.count_elsewhere, arguments).fetchone()[0],
        orphans=orphans,
        orphans_until=instant(until) if until else None,
        revocations=pending,
        used_before_revoked=used,
        users_created=created,
        users_unanswered=unanswered,
        is_reading=bool(is_reading),
    )


def _waiting(connection: LogConnection, arguments: Mapping[str, object]) -> tuple[dict[Waiting, int], float | None]:
    """Return how many rows wait for what, and when the first of them becomes due by itself."""
    waiting: dict[Waiting, int] = {}
    next_due = None
    for what, number, first in connection.execute(connection.sql.waiting_here, arguments):
        kind = Waiting(what) or Waiting.RETRY
        waiting[kind] = waiting.get(kind, 0) + number
        if first < NEVER:
            next_due = min(next_due or first, first)
    return waiting, next_due


def _steps(
    connection: LogConnection, arguments: Mapping[str, object], names: list[str]
) -> dict[str, dict[Status, int]]:
    if names == [""]:
        return {}
    steps: dict[str, dict[Status, int]] = {name: {} for name in names}
    for name, state, number in connection.execute(connection.sql.counts_of_steps, arguments):
        steps.setdefault(name, {})[Status(state)] = number
    return steps


def batches(connection: LogConnection, *, campaign: int, limit: int) -> list[BatchCounts]:
    """Return the last batches, at most `limit`, oldest first, each with the states of its recipients."""
    rows = connection.execute(connection.sql.batches, {"campaign": campaign, "limit": limit}).fetchall()
    if not rows:
        return []
    columns = ", ".join(connection.sql.column_of_batch.replace("{number}", str(row[0])) for row in rows)
    counts: dict[int, dict[Status, int]] = {row[0]: {} for row in rows}
    statement = connection.sql.counts_of_batches.replace("{columns}", columns)
    for state, *numbers in connection.execute(statement, {"campaign": campaign}):
        for row, number in zip(rows, numbers, strict=True):
            if number:
                counts[row[0]][Status(state)] = number
    return [BatchCounts(Batch(*row), counts[row[0]]) for row in reversed(rows)]
