"""How far the clock of the log's server is ahead of this worker's: `ClockOffset`."""

from __future__ import annotations

from collections import deque

#: The quickest of this many exchanges with the log gives the offset.
_COMPARED = 50
#: By how much two clocks may drift apart during these exchanges (seconds).
_DRIFT_S = 0.005


class ClockOffset:
    """How far the log's clock is ahead of this worker's, by the quickest of the last exchanges (Cristian)."""

    def __init__(self) -> None:
        self._measured: deque[tuple[float, float]] = deque(maxlen=_COMPARED)

    def note(self, asked: float, answered: float, said: float) -> None:
        """Take in that the log's clock showed `said` at some instant between two of this worker's."""
        trip, ahead = answered - asked, said - (asked + answered) / 2
        best_trip, best = min(self._measured, default=(trip, ahead))
        if abs(ahead - best) > (trip + best_trip) / 2 + _DRIFT_S:
            self._measured.clear()  # one of the clocks was set
        self._measured.append((trip, ahead))

    @property
    def seconds(self) -> float:
        """The offset; 0 before the first exchange."""
        return min(self._measured, default=(0.0, 0.0))[1]
