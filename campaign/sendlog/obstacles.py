"""Find out in the transaction of a step why it must not be written: `obstacle_to`, `withdrawal_of`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.errors import DeferredError, PermanentError
from campaign.model import Waiting
from campaign.sendlog.suppressions import suppression_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.errors import DeliveryError
    from campaign.model import Delivery, Rate
    from campaign.sendlog.database import LogConnection

    #: Looks into the log within a step's transaction; an error means that the step is not written.
    Obstacle = Callable[[LogConnection], DeliveryError | None]


def withdrawal_of(delivery: Delivery) -> Obstacle:
    """Return what looks up whether an operator has skipped the row meanwhile."""

    def look(connection: LogConnection) -> PermanentError | None:
        if connection.execute(connection.sql.withdrawn, {"id": delivery.id}).fetchone():
            return PermanentError("an operator skipped it", skip=True)
        return None

    return look


def obstacle_to(delivery: Delivery, mailing_list: str, *, cap: Rate | None, now: float) -> Obstacle:
    """Return what looks up whether the row was skipped, its address suppressed, or its recipient's share is used up.

    Args:
        delivery: the row.
        mailing_list: the list to which the mail belongs.
        cap: how many mails one address may get, of all campaigns of the log; None: no limit.
        now: the time (seconds since the epoch).
    """
    withdrawal = withdrawal_of(delivery)
    address = delivery.recipient.email.lower()

    def look(connection: LogConnection) -> DeliveryError | None:
        if withdrawn := withdrawal(connection):
            return withdrawn
        if found := suppression_of(connection, address, mailing_list):
            return PermanentError(str(found), skip=True)
        if cap is None:
            return None
        period = cap.period.total_seconds()
        arguments = {"id": delivery.id, "address": address, "since": now - period, "period": period, "count": cap.count}
        row = connection.execute(connection.sql.capped_until, arguments).fetchone()
        return DeferredError(f"at most {cap} to one address", until=row[0], waiting=Waiting.CAP) if row else None

    return look
