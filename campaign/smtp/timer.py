"""Run a timeout that is set anew for every command: `Timer`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """Calls a function at its deadline, unless the deadline was moved or lifted before.

    One `asyncio` timer serves many deadlines: it is cheaper to check the deadline when the timer fires than to set a
    new timer for every command.
    """

    def __init__(self, on_due: Callable[[], None]) -> None:
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Whether there is a deadline."""
        return self._due > 0.0

    def set(self, seconds: float) -> None:
        """Set the deadline, this many seconds from now."""
        self._due = self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)

    def lift(self) -> None:
        """Remove the deadline; the `asyncio` timer is kept for the next one."""
        self._due = 0.0

    def cancel(self) -> None:
        """Remove the deadline and cancel the `asyncio` timer."""
        self.lift()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self.is_set and self._loop.time() >= self._due:
            self._on_due()
        elif self.is_set:
            self._timer = self._loop.call_at(self._due, self._look)
