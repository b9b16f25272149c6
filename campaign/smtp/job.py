"""One message on its way through the pool: what it needs, and whom to tell. Nothing is sent here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.errors import LaterError, Scope

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from campaign.errors import CampaignError
    from campaign.model import Receipt
    from campaign.smtp.terms import Envelope, Features


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

    def suits(self, offered: Features) -> bool:
        """Return whether a server may be given it; else it fails, to be composed anew for such a server."""
        # RFC 6152 §3: without 8BITMIME no 8-bit text; several servers behind one name may offer different things
        if offered.eight_bit or not self.envelope.eight_bit:
            return True
        self.fail(LaterError("another server of that name takes no 8-bit text; written anew", scope=Scope.NOBODY))
        return False

    def fail(self, error: BaseException) -> None:
        """Give whoever waits for the receipt an error instead."""
        if self.early is not None:
            self.early.cancel()
        if not self.receipt.done():
            self.receipt.set_exception(error)
