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
    from campaign.sendlog.database import LogConnection, LogCursor

    #: Asks the log within a step's transaction, and returns what reads the answer: an error means that the step is not
    #: written. Many ask before the first one reads, which saves round trips to a server.
    Obstacle = Callable[[LogConnection], Callable[[], DeliveryError | None]]


def withdrawal_of(delivery: Delivery) -> Obstacle:
    """Return what looks up whether an operator has skipped the row meanwhile."""

    def ask(connection: LogConnection) -> Callable[[], PermanentError | None]:
        found = connection.execute(connection.sql.withdrawn, {"id": delivery.id})
        return lambda: PermanentError("an operator skipped it", skip=True) if found.fetchone() else None

    return ask


def obstacle_to(delivery: Delivery, mailing_list: str, *, cap: Rate | None, now: float) -> Obstacle:
    """Return what looks up whether the row was skipped, its address suppressed, or its recipient's share is used up.

    Args:
        delivery: the row.
        mailing_list: the list to which the mail belongs.
        cap: how many mails one address may get, of all campaigns of the log; None: no limit.
        now: the time (seconds since the epoch).
    """
    withdrawal_asked = withdrawal_of(delivery)
    address = delivery.recipient.email.lower()

    def ask(connection: LogConnection) -> Callable[[], DeliveryError | None]:
        withdrawn, suppressed = withdrawal_asked(connection), suppression_of(connection, address, mailing_list)
        capped = None if cap is None else _capped(connection, delivery.id, address, cap, now)

        def read() -> DeliveryError | None:
            if withdrawal := withdrawn():
                return withdrawal
            if found := suppressed():
                return PermanentError(str(found), skip=True)
            if capped is None or (row := capped.fetchone()) is None:
                return None
            return DeferredError(f"at most {cap} to one address", until=row[0], waiting=Waiting.CAP)

        return read

    return ask


def _capped(connection: LogConnection, number: int, address: str, cap: Rate, now: float) -> LogCursor:
    period = cap.period.total_seconds()
    arguments = {"id": number, "address": address, "since": now - period, "period": period, "count": cap.count}
    return connection.execute(connection.sql.capped_until, arguments)
