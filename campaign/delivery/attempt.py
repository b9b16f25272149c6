"""One attempt to deliver a message: `Attempt`, which the steps of `Pipeline._deliver` fill in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.model import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.model import Delivery, EarlierStep, Outcome, SignInToken


@dataclass(slots=True)
class Attempt:
    """A claimed row, with the token and the Message-ID that it has got so far."""

    delivery: Delivery
    #: The recipient's Clerk user, if it was looked up already.
    user_id: str = ""
    token: SignInToken | None = None
    #: When the token was requested (seconds since the epoch).
    token_asked_at: float = 0.0
    message_id: str = ""
    #: The steps before it, in their order; empty for the first one.
    earlier: Sequence[EarlierStep] = ()
    #: Whether the intent to send is durable; it holds for each connection on which the message is tried.
    intended: bool = False

    def unused_token(self, outcome: Outcome) -> SignInToken | None:
        """Return the token to revoke, or None if its message was accepted or may have been accepted."""
        return None if outcome.status in {Status.SENT, Status.UNCERTAIN} else self.token
