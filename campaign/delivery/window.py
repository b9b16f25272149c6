"""One rate, kept by this process alone: `Window.next_permit_at`, `Window.take`."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from campaign.model import Rate

#: A window is kept this much longer than declared, because the other side counts when a call arrives and we
#: when it leaves: two calls may come nearer to each other on the way.
_WINDOW_MARGIN = 1.006
#: Windows up to this length (seconds) are spread evenly; longer ones are budgets, spent as fast as the others allow.
_MAX_EVEN_PERIOD_S = 60.0
#: How far (seconds) an even spread may catch up after it was late: a timer's lateness, not a pause.
MAX_CATCH_UP_S = 0.05
#: A window is remembered in at most about this many pieces.
_MAX_PIECES = 1000


class Allowance(Protocol):
    """What gives the permits of a limiter: a `Window`, or a share of a rate that all workers keep together."""

    def next_permit_at(self, now: float, ahead: int = 0) -> float:
        """Return the earliest instant (>= now) for the next permit; of a budget, `ahead` permits are spent already."""
        ...

    def next_permit_behind(self, now: float, others: int) -> float:
        """Return the earliest instant (>= now) for a permit after `others` permits were given."""
        ...

    def take(self, now: float) -> Any:  # noqa: ANN401 - what `use` wants back
        """Note a permit given at `now`, and return what stands for it."""
        ...

    def ready(self, piece: Any, now: float, /) -> float:  # noqa: ANN401 - of `take`
        """Note that a call could leave now; return the seconds that it has to wait for its permit's instant."""
        ...

    def use(self, piece: Any, now: float, /) -> None:  # noqa: ANN401 - of `take`
        """Note that a permit is used only now."""
        ...

    def is_late(self, piece: Any, now: float, /) -> bool:  # noqa: ANN401 - of `take`
        """Return whether it is too late to use a permit."""
        ...

    def give_back(self, piece: Any, /) -> None:  # noqa: ANN401 - of `take`
        """Note that a permit is not used."""
        ...


def is_even(rate: Rate) -> bool:
    """Return whether a rate is spread evenly; otherwise it is a budget."""
    return rate.period.total_seconds() <= _MAX_EVEN_PERIOD_S


class Window:
    """One rate: at most `count` permits in any `period`, spread evenly over short periods."""

    def __init__(self, rate: Rate) -> None:
        self._count = rate.count
        self._period = rate.period.total_seconds() * _WINDOW_MARGIN
        self._spacing = self._period / self._count if is_even(rate) else 0.0
        self._piece = self._period / _MAX_PIECES if self._count > _MAX_PIECES else 0.0
        # [the first instant of the piece, its last, the number of its permits], oldest first
        self._taken: deque[list[float]] = deque()
        self._total = 0.0
        self._last_slot = float("-inf")

    def next_permit_at(self, now: float, ahead: int = 0) -> float:
        """Return the earliest instant (>= now) for the next permit; of a budget, `ahead` permits are spent already."""
        while self._taken and self._taken[0][1] + self._period <= now:
            expired = self._taken.popleft()
            self._total -= expired[2]
            expired[2] = 0
        return max(now, self._full_until(now, 0 if self._spacing else ahead), self._last_slot + self._spacing)

    def next_permit_behind(self, now: float, others: int) -> float:
        """Return the earliest instant (>= now) for a permit after `others` permits were given."""
        # as they will be spread, catching up on what was late
        first = max(self._last_slot + self._spacing, now - MAX_CATCH_UP_S)
        return max(self.next_permit_at(now), first + self._spacing * others, self._full_until(now, others))

    def _full_until(self, now: float, ahead: int) -> float:
        missing = self._total + ahead - self._count
        for _, last, number in self._taken if missing >= 0 else ():
            missing -= number
            if missing < 0:
                return last + self._period
        return now if missing < 0 else now + self._period

    def take(self, now: float, number: int = 1) -> list[float]:
        """Note permits given at `now` and return the piece that holds them; instants must not decrease."""
        if self._taken and now - self._taken[-1][0] < self._piece:
            self._taken[-1][1] = max(now, self._taken[-1][1])
            self._taken[-1][2] += number
        else:
            self._taken.append([now, now, number])
        self._total += number
        self._last_slot = max(self._last_slot + self._spacing, now - MAX_CATCH_UP_S)
        return self._taken[-1]

    def use(self, piece: list[float], now: float) -> None:
        """Note that a permit of a piece is used only now; it counts again if it had expired meanwhile."""
        if piece[2]:
            piece[1] = max(piece[1], now)
        else:
            self._taken.append([now, now, 1])
            self._total += 1

    def ready(self, _piece: list[float], _now: float) -> float:
        """Return 0: a permit is given at its instant."""
        return 0.0

    def is_late(self, _piece: list[float], _now: float) -> bool:
        """Return False: this process alone keeps the window, so it waits for a late one."""
        return False

    def give_back(self, _piece: list[float]) -> None:
        """Do nothing: a permit that is not used counts."""
