"""One attempt to deliver: the value that the steps of `Pipeline._deliver` carry along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.model import Status

if TYPE_CHECKING:
    from campaign.model import Delivery, Outcome, SignInToken


@dataclass(slots=True)
class Attempt:
    """A recipient's row on its way, with what it was given so far."""

    delivery: Delivery
    token: SignInToken | None = None
    #: When the token was asked for (seconds since the epoch).
    token_asked_at: float = 0.0
    message_id: str = ""

    def unused_token(self, outcome: Outcome) -> SignInToken | None:
        """Return the token to revoke: one that no message carries which was accepted, or may have been."""
        return None if outcome.status in {Status.SENT, Status.UNCERTAIN} else self.token
