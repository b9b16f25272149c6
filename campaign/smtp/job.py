"""One message on its way through the pool: what it needs, and whom to tell. It decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from campaign.errors import CampaignError
    from campaign.model import Receipt
    from campaign.smtp.terms import Envelope


@dataclass(slots=True, eq=False)
class Job:
    """One message that waits for a connection, or is on one."""

    envelope: Envelope
    message: bytes = field(repr=False)
    #: Awaited when the body is written and the final dot is not.
    before_dot: Callable[[], Awaitable[None]] = field(repr=False)
    receipt: asyncio.Future[Receipt]
    #: `before_dot` under way ahead of its time; it returns the error that it would raise.
    early: asyncio.Task[CampaignError | None] | None = None

    def fail(self, error: BaseException) -> None:
        """Give whoever waits for the receipt an error instead."""
        if self.early is not None:
            self.early.cancel()
        if not self.receipt.done():
            self.receipt.set_exception(error)
