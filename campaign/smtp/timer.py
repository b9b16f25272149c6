"""A deadline that is moved with every command. What becomes of whoever missed it is decided elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """Calls a function when its time is over, unless it was moved or lifted before.

    One timer serves all: setting one for every command costs more than looking at the clock when it fires.
    """

    def __init__(self, on_due: Callable[[], None]) -> None:
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Whether there is something to wait for."""
        return self._due > 0.0

    def set(self, seconds: float) -> None:
        """Wait for so long from now."""
        self._due = self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)

    def lift(self) -> None:
        """Wait for nothing for the time being."""
        self._due = 0.0

    def cancel(self) -> None:
        """Wait for nothing any more."""
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
