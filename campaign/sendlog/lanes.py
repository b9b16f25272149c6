"""A place in the queue: which rows a reader claims, and how far it has come. Nothing is written for a claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from campaign.model import Delivery, Recipient
from campaign.sendlog.jsontext import decoded, encoded
from campaign.sendlog.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A cursor behind which nothing due can appear: rows that come back carry a later `not_before`.
_LAST_ID = 2**62


class Lane:
    """A view of the queue with a place of its own in it: all rows, one domain's, or those of no special domain."""

    def __init__(self, *, domain: str | None = None, without: Sequence[str] = ()) -> None:
        self.domain = domain
        self.without = tuple(without)
        self.after: tuple[float, int] = (-1.0, 0)

    def skip_to(self, instant: float) -> None:
        """Pass over everything that was due before an instant."""
        self.after = (instant, 0)

    @property
    def statement(self) -> str:
        """The SQL that reads the lane's next page, as one row."""
        name = "claim_domain" if self.domain else "claim_other_domains" if self.without else "claim"
        return str(SQL.page).replace("(:claim)", f"({getattr(SQL, name).removesuffix(';')})")

    @property
    def arguments(self) -> dict[str, Any]:
        """What the SQL needs to know of the lane."""
        number, identifier = self.after
        domains = encoded(self.without)
        return {"after": number, "after_id": identifier, "domain": self.domain, "domains": domains}

    def pass_over(self, page: tuple[str | None, str | None, float], limit: int, now: float) -> list[Delivery]:
        """Return a page's rows as deliveries and move behind them; behind everything due, if fewer came than asked."""
        people, variables, instant = (page[0] or "[]", page[1] or "[]", page[2])
        deliveries = [
            Delivery(number, Recipient(key, email, user_id, columns, line), attempts, faults, generation)
            for (number, key, email, user_id, line, attempts, faults, generation), columns in zip(
                decoded(people), decoded(variables), strict=True
            )
        ]
        self.after = (instant, deliveries[-1].id) if len(deliveries) == limit else (now, _LAST_ID)
        return deliveries
