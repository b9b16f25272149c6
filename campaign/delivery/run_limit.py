"""Limit how many recipients a run claims (`--limit`): `RunLimit.take`."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from campaign.model import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from campaign.model import Delivery, Outcome


class RunLimit:
    """The rows that a run has claimed, each with the instant at which it comes back and its domain.

    Args:
        most: the most recipients.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._claimed: dict[int, tuple[float, str]] = {}
        #: The limit is reached: only rows that come back are claimed.
        self.is_reached = False

    def take(self, page: Sequence[Delivery]) -> list[Delivery]:
        """Return the rows of a page that this run may claim, and note them as under way."""
        allowed = []
        for delivery in page:
            if delivery.id in self._claimed or len(self._claimed) < self._most:
                self._claimed[delivery.id] = (inf, delivery.recipient.domain)
                allowed.append(delivery)
        self.is_reached = len(self._claimed) >= self._most
        return allowed

    def give_back(self, numbers: Sequence[int], domain: str) -> None:
        """Note that rows of a domain were not begun: they are due at once."""
        self._claimed |= dict.fromkeys(numbers, (0.0, domain))

    def settled(self, number: int, domain: str, outcome: Outcome) -> None:
        """Note a row's outcome: if it is queued again, it comes back."""
        self._claimed[number] = (outcome.not_before if outcome.status is Status.QUEUED else inf, domain)

    def comes_back_at(self, next_claim_at: Callable[[str], float] = lambda _: 0.0) -> float:
        """Return when the next row comes back, infinity if none does.

        Args:
            next_claim_at: when a domain's rows may be claimed.
        """
        return min((max(instant, next_claim_at(domain)) for instant, domain in self._claimed.values()), default=inf)
