"""Leave to make one call, given by a rate limiter: `Permit.used` says whether the call may leave now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from campaign.clock import Clock
    from campaign.delivery.window import Allowance


class Permit:
    """Leave to make one call, given by one rate limiter or by two together."""

    __slots__ = ("_clock", "_given_at", "pieces")

    def __init__(self, pieces: list[tuple[Allowance, Any]], clock: Clock) -> None:
        self.pieces = pieces
        self._clock = clock
        self._given_at = clock.now()

    @property
    def age(self) -> float:
        """How long ago it was given, in seconds."""
        return self._clock.now() - self._given_at

    async def used(self) -> bool:
        """Note that only now the call leaves: the windows count from here, so that a late one crowds no other.

        A permit of a shared rate has an instant, for which this waits. Return False if the call must not leave, since
        it is too late for it: other workers do not wait. The call then needs another permit.
        """
        if not self.pieces:
            return True
        now = self._clock.now()
        leaves_at = now + max([window.ready(piece, now) for window, piece in self.pieces])
        while now < leaves_at:  # a timer may be early by a millisecond
            await self._clock.sleep(leaves_at - now)
            now = self._clock.now()
        for window, piece in self.pieces:
            if window.is_late(piece, now):
                self._give_back()
                return False
        for window, piece in self.pieces:
            window.use(piece, now)
        return True

    def _give_back(self) -> None:
        for window, piece in self.pieces:
            window.give_back(piece)
