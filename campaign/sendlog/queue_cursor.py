"""A cursor into the queue, `QueueCursor`: which rows a reader claims, and how far it has read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from campaign.model import Delivery, Recipient

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Larger than any row's id: no due row is after this cursor, since a row that is queued again has a later `not_before`.
_LAST_ID = 2**62


class QueueCursor:
    """A position in a part of the queue: all rows, those of one domain, or all rows `without` certain domains.

    Args:
        domain: only the rows of this domain.
        without: leave out the rows of these domains.
        since: leave out the rows that were due before this instant (seconds since the epoch).
    """

    def __init__(self, *, domain: str | None = None, without: Sequence[str] = (), since: float = -1.0) -> None:
        self.domain = domain
        self.without = tuple(without)
        self._since = since
        self.after: tuple[float, int] = (since, 0)

    def start_again(self) -> None:
        """Go back to the first row."""
        self.after = (self._since, 0)

    def skip_to(self, instant: float) -> None:
        """Skip all rows that were due before an instant."""
        self.after = (instant, 0)

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the cursor's parameters of the statement `claim`."""
        instant, number = self.after
        return {"after": instant, "after_id": number, "domain": self.domain, "domains": json.dumps(self.without)}

    def pass_over(self, rows: Sequence[tuple[Any, ...]], limit: int, now: float) -> list[Delivery]:
        """Return a page's rows as deliveries, and move the cursor after them.

        If the page has fewer rows than `limit`, the cursor moves after all rows that are due at `now`.
        """
        deliveries = [
            Delivery(number, Recipient(key, email, user_id, json.loads(variables), line), *rest)
            for number, key, email, user_id, line, variables, *rest, _ in rows
        ]
        self.after = (rows[-1][-1], deliveries[-1].id) if len(rows) == limit else (now, _LAST_ID)
        return deliveries
