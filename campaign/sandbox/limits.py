"""Apply Clerk's rate limits: at most n requests per window, then 429 until the window ends: `ClerkLimit`."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from campaign.sandbox.answers import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable


class ClerkLimit:
    """A limit of `count` requests per window of `seconds`; the first request after a window opens the next one."""

    def __init__(self, count: int, seconds: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._seconds = seconds
        self._now = now
        self._ends = -math.inf
        self._left = count

    def spend(self) -> None:
        """Count one request.

        Raises:
            Refusal: 429, the window is full; `Retry-After` holds the seconds until it ends.
        """
        moment = self._now()
        if moment >= self._ends:
            self._ends, self._left = moment + self._seconds, self._count
        if not self._left:
            raise ApiError(
                429,
                "too_many_requests",
                "Too many requests",
                long_message="Too many requests. Please try again in a bit.",
                headers={"Retry-After": str(math.ceil(self._ends - moment))},
            )
        self._left -= 1
