"""Tell the observer what a run waits for, and keep it if a signal ends the run meanwhile: `CurrentWait`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from campaign.clock import Clock
    from campaign.delivery.observer import Observer


class CurrentWait:
    """What a run waits for at present."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock
        self._why, self._until = "", 0.0
        #: What the run waited for when it was told to stop; empty if it did not wait.
        self.stopped_in = ""

    def began(self, why: str, until: float) -> None:
        """Note that nothing is sent until an instant (seconds since the epoch), and tell the observer."""
        self._why, self._until = why, until
        self._observer.waiting(why, until - self._clock.now())

    def stop(self, connecting: str) -> None:
        """Tell the observer what the run was waiting for, if anything.

        Args:
            connecting: what is said of the first connection while it is being opened, otherwise empty.
        """
        if why := connecting or (self._why if self._until > self._clock.now() else ""):
            self.tell(why)

    def tell(self, why: str) -> None:
        """Tell the observer once what the run was waiting for."""
        if not self.stopped_in:
            self.stopped_in = why
            self._observer.notice(f"The run was waiting: {why}")
