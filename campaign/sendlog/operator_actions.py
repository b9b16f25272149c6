"""What an operator decides about rows that the pipeline must not touch. Each decision is one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.model import Status
from campaign.sendlog.statements import SQL

if TYPE_CHECKING:
    from campaign.sendlog.log import SendLog


def is_empty(log: SendLog) -> bool:
    """Return whether nobody was ever enlisted in the log, in any campaign."""
    with log.transaction() as connection:
        return connection.execute(SQL.anybody).fetchone() is None


def retry(log: SendLog, *, state: Status = Status.FAILED, email: str | None = None) -> int:
    """Put failed (or skipped) rows back to `queued`, with all their attempts before them; return how many."""
    with log.transaction() as connection:
        return connection.execute(SQL.retry, log.arguments(state=state, email=email)).rowcount


def keep_uncertain(log: SendLog, *, email: str | None = None) -> int:
    """Take uncertain rows as `sent`; return how many."""
    with log.transaction() as connection:
        return connection.execute(SQL.keep_uncertain, log.arguments(email=email)).rowcount


def revoke_uncertain(log: SendLog, *, email: str | None = None) -> int:
    """Have the tokens of uncertain rows revoked; return how many are to be."""
    with log.transaction() as connection:
        return connection.execute(SQL.revoke_uncertain, log.arguments(email=email)).rowcount


def resend_uncertain(log: SendLog, *, email: str | None = None) -> tuple[int, int]:
    """Put uncertain rows whose tokens are out of the world back to `queued`.

    Returns:
        How many rows are queued, and how many were taken as `sent` because their token had been used.
    """
    with log.transaction() as connection:
        arrived = connection.execute(SQL.keep_arrived, log.arguments(email=email)).rowcount
        return connection.execute(SQL.resend_uncertain, log.arguments(email=email)).rowcount, arrived


def revoke_everything(log: SendLog) -> int:
    """Have every token revoked whose id the campaign knows; return how many are to be."""
    with log.transaction() as connection:
        return connection.execute(SQL.revoke_all, log.arguments()).rowcount
