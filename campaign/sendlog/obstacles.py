"""Find out in the transaction of a step why it must not be written: `Obstacle`, and for many steps `is_clear`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.errors import DeferredError, PermanentError
from campaign.model import Waiting
from campaign.sendlog.suppressions import suppression_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from campaign.errors import DeliveryError
    from campaign.model import Delivery, Rate
    from campaign.sendlog.database import LogConnection, LogCursor


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What may stand in the way of a step: an operator's skip, a suppression, or a share that is used up.

    Called within the step's transaction, it asks the log and returns what reads the answer: an error means that the
    step is not written. Many ask before the first one reads, which saves round trips to a server.
    """

    delivery: Delivery
    #: The list to which the mail belongs; None if only a skip stands in the way.
    mailing_list: str | None = None
    #: How many mails one address may get, of all campaigns of the log, unless its reader asked for this one; None: no
    #: limit.
    cap: Rate | None = None
    #: The time (seconds since the epoch).
    now: float = 0.0

    @property
    def address(self) -> str:
        """The recipient's address in lower case."""
        return self.delivery.recipient.email.lower()

    def __call__(self, connection: LogConnection) -> Callable[[], DeliveryError | None]:
        """Ask the log."""
        withdrawn = connection.execute(connection.sql.withdrawn, {"id": self.delivery.id})
        suppressed = None if self.mailing_list is None else suppression_of(connection, self.address, self.mailing_list)
        cap = self.cap if self.delivery.replaced_token is None else None
        capped = None if cap is None else _capped(connection, self.delivery.id, self.address, cap, self.now)

        def read() -> DeliveryError | None:
            if withdrawn.fetchone():
                return PermanentError("an operator skipped it", skip=True)
            if suppressed and (found := suppressed()):
                return PermanentError(str(found), skip=True)
            if capped is None or (row := capped.fetchone()) is None:
                return None
            return DeferredError(f"at most {self.cap} to one address", until=row[0], waiting=Waiting.CAP)

        return read


def is_clear(connection: LogConnection, obstacles: Sequence[Obstacle]) -> Callable[[], bool]:
    """Ask whether nothing stands in the way of any of these steps: one question for all, since that is the rule.

    Returns:
        What reads the answer; False may also mean that each step must be asked about.
    """
    if any(each.cap for each in obstacles):
        return lambda: False
    mails = [each for each in obstacles if each.mailing_list is not None]
    arguments = {
        "ids": json.dumps([each.delivery.id for each in obstacles]),
        "addresses": json.dumps([each.address for each in mails]),
        "list": mails[0].mailing_list if mails else "",
    }
    found = connection.execute(connection.sql.any_obstacle, arguments)
    return lambda: found.fetchone() is None


def _capped(connection: LogConnection, number: int, address: str, cap: Rate, now: float) -> LogCursor:
    period = cap.period.total_seconds()
    arguments = {"id": number, "address": address, "since": now - period, "period": period, "count": cap.count}
    return connection.execute(connection.sql.capped_until, arguments)
