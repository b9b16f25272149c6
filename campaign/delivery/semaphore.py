"""A FIFO semaphore whose limit may change at any time: `ResizableSemaphore`."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class ResizableSemaphore:
    """A FIFO semaphore whose limit is read again at each acquire and release."""

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> Self:
        """Return when fewer tasks than the limit are inside."""
        if self._waiting or self._inside >= self._size():
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._leave()
                raise
        else:
            self._inside += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave, and admit waiting tasks up to the limit."""
        self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        while self._waiting and self._inside < self._size():
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._inside += 1
