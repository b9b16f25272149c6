"""ResizableSemaphore for a few at a time, whose number may change meanwhile. Who decides it is elsewhere."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class ResizableSemaphore:
    """Lets so many in as `size` says when somebody comes or leaves, in the order in which they came."""

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> Self:
        """Return when there is room."""
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
        """Leave, and let in who waits."""
        self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        while self._waiting and self._inside < self._size():
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._inside += 1
