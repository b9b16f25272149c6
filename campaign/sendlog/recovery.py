"""Settle what runs left in `issuing` and `sending` that are gone: `recover`, by the table in CONTRIBUTING.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.model import LONGEST_WAIT
from campaign.sendlog.counts import Recovered

if TYPE_CHECKING:
    from campaign.sendlog.database import LogConnection


def recover(connection: LogConnection, *, now: float) -> Recovered:
    """Settle, within a transaction, the rows of every campaign that no living run has in hand.

    A `not_before` that is further ahead than the longest wait (from a clock that was ahead) is moved back to it.

    Args:
        connection: in a transaction.
        now: the time (seconds since the epoch).
    """
    sql, at = connection.sql, {"now": now}
    orphans = connection.execute(sql.recover_unnamed).rowcount
    revocations = connection.execute(sql.recover_named, at).rowcount
    connection.execute(sql.recover_issuing, at)
    uncertain = connection.execute(sql.recover_sending, at).rowcount
    connection.execute(sql.recover_put_off, {"latest": now + LONGEST_WAIT.total_seconds()})
    return Recovered(orphans, revocations, uncertain)
