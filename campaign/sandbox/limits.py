"""Clerk's rate limits: so many requests in a window of so many seconds, then 429 until it ends."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from campaign.sandbox.answers import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable


class Limit:
    """At most `count` requests in `seconds`; the first request after a window's end opens the next."""

    def __init__(self, count: int, seconds: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._seconds = seconds
        self._now = now
        self._ends = -math.inf
        self._left = count

    def spend(self) -> None:
        """Count one request.

        Raises:
            Refusal: 429, there have been too many; `Retry-After` holds the seconds until the window ends.
        """
        moment = self._now()
        if moment >= self._ends:
            self._ends, self._left = moment + self._seconds, self._count
        if not self._left:
            raise Refusal(
                429,
                "too_many_requests",
                "Too many requests",
                long_message="Too many requests. Please try again in a bit.",
                headers={"Retry-After": str(math.ceil(self._ends - moment))},
            )
        self._left -= 1
