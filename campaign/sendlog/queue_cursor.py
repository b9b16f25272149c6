"""A place in the queue: which rows a reader claims, and how far it has come. Nothing is written for a claim."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from campaign.model import Delivery, Recipient

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A cursor behind which nothing due can appear: rows that come back carry a later `not_before`.
_LAST_ID = 2**62


class QueueCursor:
    """A view of the queue with a place of its own in it: all rows, one domain's, or those of no special domain."""

    def __init__(self, *, domain: str | None = None, without: Sequence[str] = ()) -> None:
        self.domain = domain
        self.without = tuple(without)
        self.after: tuple[float, int] = (-1.0, 0)

    def skip_to(self, instant: float) -> None:
        """Pass over everything that was due before an instant."""
        self.after = (instant, 0)

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the parameters of the statement `claim` that are the lane's own."""
        instant, number = self.after
        return {"after": instant, "after_id": number, "domain": self.domain, "domains": json.dumps(self.without)}

    def pass_over(self, rows: Sequence[tuple[Any, ...]], limit: int, now: float) -> list[Delivery]:
        """Return a page's rows as deliveries, and move the cursor behind them.

        If fewer rows came than were asked for, the cursor moves behind everything that is due.
        """
        deliveries = [
            Delivery(number, Recipient(key, email, user_id, json.loads(variables), line), attempts, faults, generation)
            for number, key, email, user_id, line, variables, attempts, faults, generation, _ in rows
        ]
        self.after = (rows[-1][-1], deliveries[-1].id) if len(rows) == limit else (now, _LAST_ID)
        return deliveries
