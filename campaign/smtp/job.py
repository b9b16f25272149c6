"""One message on its way through the pool: what it needs, and what carries it. Nothing is sent here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.errors import LaterError, Scope
from campaign.smtp.exchange import Exchange

if TYPE_CHECKING:
    from campaign.smtp.connection import Connection
    from campaign.smtp.terms import Envelope, Features


@dataclass(slots=True, eq=False)
class Job:
    """One message that waits for a connection, or is on one."""

    envelope: Envelope
    #: The replies to its envelope; whoever waits for them waits for a connection first.
    opening: Exchange = field(default_factory=Exchange)
    connection: Connection | None = None
    #: Since when the connection has served nobody else.
    began: float = 0.0
    #: The reply to its final dot, once that is written.
    final: Exchange | None = None
    #: The message whose envelope rides behind its dot: it has the connection next.
    following: Job | None = None

    async def begun(self) -> Connection:
        """Return the connection that the message got, when the server has answered its envelope.

        Raises:
            CampaignError: what kept it from a connection.
        """
        try:
            await self.opening.over()
        except BaseException:
            if self.connection is not None:
                self.connection.end("the message was taken back")
            raise
        assert self.connection is not None  # noqa: S101 - nothing else ends the wait well
        return self.connection

    def suits(self, offered: Features) -> bool:
        """Return whether a server may be given it; else it fails, to be composed anew for such a server."""
        # RFC 6152 §3: without 8BITMIME no 8-bit text; several servers behind one name may offer different things
        if offered.eight_bit or not self.envelope.eight_bit:
            return True
        error = LaterError("another server of that name takes no 8-bit text; written anew", scope=Scope.NOBODY)
        self.opening.fail(error)
        return False
