"""Rate limits and pauses of one service or domain: `RateLimiter.acquire_or_defer` gives a permit for each call."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from campaign.delivery.lowered_rate import LoweredRate
from campaign.errors import Scope, TransientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence

    from campaign.clock import Clock
    from campaign.model import Rate

#: A window is kept this much longer than declared, because the other side counts when a call arrives and we
#: when it leaves: two calls may come nearer to each other on the way.
_WINDOW_MARGIN = 1.006
#: Windows up to this length (seconds) are spread evenly; longer ones are budgets, spent as fast as the others allow.
_MAX_EVEN_PERIOD_S = 60.0
#: How far (seconds) an even spread may catch up after it was late: a timer's lateness, not a pause.
_MAX_CATCH_UP_S = 0.05
#: A pause that is longer than this is not waited for by a delivery that is under way.
_LONGEST_PAUSE_S = 5.0
#: The pause after the service said that calls come too fast.
_TOO_FAST_PAUSE_S = 1.5
#: The rate that was too fast is measured over at most this many calls and seconds.
_MEASURED_CALLS = 20
_MEASURED_S = 2.0
#: A window is remembered in at most about this many pieces.
_MAX_PIECES = 1000


class Window:
    """One rate: at most `count` permits in any `period`, spread evenly over short periods."""

    def __init__(self, rate: Rate) -> None:
        self._count = rate.count
        self._period = rate.period.total_seconds() * _WINDOW_MARGIN
        self._spacing = self._period / self._count if rate.period.total_seconds() <= _MAX_EVEN_PERIOD_S else 0.0
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
        first = max(self._last_slot + self._spacing, now - _MAX_CATCH_UP_S)
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
        self._last_slot = max(self._last_slot + self._spacing, now - _MAX_CATCH_UP_S)
        return self._taken[-1]

    def use(self, piece: list[float], now: float) -> None:
        """Note that a permit of a piece is used only now; it counts again if it had expired meanwhile."""
        if piece[2]:
            piece[1] = max(piece[1], now)
        else:
            self._taken.append([now, now, 1])
            self._total += 1


class Permit:
    """Leave to make one call, given by one rate limiter or by two together."""

    __slots__ = ("_clock", "pieces")

    def __init__(self, pieces: list[tuple[Window, list[float]]], clock: Clock) -> None:
        self.pieces = pieces
        self._clock = clock

    def used(self) -> None:
        """Note that only now the call leaves: the windows count from here, so that a late one crowds no other."""
        if not self.pieces:
            return
        now = self._clock.now()
        for window, piece in self.pieces:
            window.use(piece, now)


class RateLimiter:
    """Gives permits, first come first served, so that no rate is exceeded and no pause is broken.

    Args:
        rates: all of them are kept at once; none means no limit.
        clock: the time.
        spent: permits of earlier runs as (instant, number), oldest first, so that a restart resets no window.
    """

    def __init__(self, rates: Sequence[Rate], clock: Clock, spent: Iterable[tuple[float, int]] = ()) -> None:
        self._clock = clock
        self._rates = tuple(rates)
        self._windows = [Window(rate) for rate in rates]
        self._lowered: LoweredRate | None = None
        self._given: deque[float] = deque(maxlen=_MEASURED_CALLS)
        #: The slowest of the rates, in permits a second; None without a limit.
        self.per_second = min((rate.per_second for rate in rates), default=None)
        self._paused_until = 0.0
        #: The reason of the last pause, for the operator, and how long the run bears it.
        self.paused_why = self.patience = ""
        self._queue = asyncio.Lock()
        now = clock.now()
        for at, number in spent:
            for window in self._windows:
                window.take(min(at, now), number)  # a clock that was ahead must not stall this run

    def next_permit_at(self, ahead: int = 0) -> float:
        """Return the earliest instant at which the next permit could be given.

        Of a budget such as `"50000/day"`, the permits of `ahead` deliveries that will still ask count as spent.
        """
        return max(self._paused_until, self._next_permit_at(ahead) if self._windows else self._clock.now())

    def next_permit_behind(self, others: int) -> float:
        """Return the earliest instant at which a permit could be given after `others` permits."""
        now = self._clock.now()
        return max(now, self._paused_until, *(window.next_permit_behind(now, others) for window in self._windows))

    @property
    def paused_until(self) -> float:
        """The instant at which the last pause ends; one in the past if there is none."""
        return self._paused_until

    @property
    def is_limited(self) -> bool:
        """Whether a rate is kept at present, a declared or a lowered one."""
        return bool(self._windows)

    @property
    def is_paused(self) -> bool:
        """Whether the service is paused."""
        return self._paused_until > self._clock.now()

    async def acquire(self) -> Permit:
        """Return a permit when the rates allow it, however long a pause lasts."""
        return await self._acquire(inf)

    def acquire_or_defer(self, who: str, scope: Scope) -> Coroutine[Any, Any, Permit]:
        """Return a permit when the rates allow it, unless a long pause is on or begins meanwhile.

        Args:
            who: the service, for the error's sentence.
            scope: the service, for the retry policy.

        Raises:
            TransientError: the service is paused for long; the row waits in the log instead.
        """
        return self._acquire(_LONGEST_PAUSE_S, who, scope)

    async def acquire_both(self, other: Callable[[], Awaitable[Permit]]) -> Permit:
        """Return a permit of this limiter and of another one, both given at the same instant.

        Pauses are ignored: the deliveries that ask were under way before.

        Args:
            other: acquires the other permit.
        """
        if not self._windows:
            return await other()
        async with self._queue:
            while (wait := self._next_permit_at() - self._clock.now()) > 0:
                await self._clock.sleep(wait)
            return self._take((await other()).pieces)

    async def _acquire(self, longest_pause: float, who: str = "", scope: Scope = Scope.NONE) -> Permit:
        if not self._windows and (not self._paused_until or self._paused_until <= self._clock.now()):
            return self._take([])
        async with self._queue:
            while (wait := self.next_permit_at() - self._clock.now()) > 0:
                self._raise_if_paused(longest_pause, who, scope)
                await self._clock.sleep(wait)
            return self._take([])

    def raise_if_paused(self, who: str, scope: Scope) -> None:
        """Raise TransientError if a long pause is on; see `acquire_or_defer`."""
        self._raise_if_paused(_LONGEST_PAUSE_S, who, scope)

    def _raise_if_paused(self, longest_pause: float, who: str, scope: Scope) -> None:
        if self._paused_until > self._clock.now() + longest_pause:
            raise TransientError(f"{who} is paused", scope=scope)

    def _take(self, pieces: list[tuple[Window, list[float]]]) -> Permit:
        now = self._clock.now()
        self._given.append(now)
        if self._lowered and now >= self._lowered.raised_at:
            self._lower(self._lowered.raised(now))
        return Permit([*pieces, *((window, window.take(now)) for window in self._windows)], self._clock)

    def _next_permit_at(self, ahead: int = 0) -> float:
        """Return when the windows allow the next permit."""
        now = self._clock.now()
        return max(now, *(window.next_permit_at(now, ahead) for window in self._windows)) if self._windows else now

    def slow_down(self, why: str) -> None:
        """Pause shortly and keep a lower rate for a while: the service said that calls come too fast.

        A call that is refused during a pause was under way before it, so it counts as the same refusal.
        """
        if self.is_paused:
            return
        now = self._clock.now()
        measured = min(self._measured_rate(now), self.per_second or inf)
        current = self._lowered or LoweredRate(measured, now)
        self._lower(current.lower(now))
        self.pause(_TOO_FAST_PAUSE_S, why)

    def _measured_rate(self, now: float) -> float:
        """Return the calls a second of late."""
        lately = [instant for instant in self._given if instant > now - _MEASURED_S]
        return (len(lately) - 1) / max(now - lately[0], 1e-3) if len(lately) > 1 else 1 / _MEASURED_S

    def _lower(self, lowered: LoweredRate | None) -> None:
        self._lowered = lowered
        del self._windows[len(self._rates) :]
        if lowered:
            self._windows.append(Window(lowered.rate))

    def pause(self, seconds: float, why: str = "", *, patience: str = "") -> float:
        """Give no permit for `seconds` from now (a longer pause stays); return the instant at which it ends."""
        until = self._clock.now() + seconds
        if until > self._paused_until:
            self._paused_until, self.paused_why, self.patience = until, why, patience
        return self._paused_until


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The rate limiters of a run: one for each service and for each recipient domain that has a rate."""

    #: The mail server's.
    messages: RateLimiter
    #: Clerk's; None for a campaign without a link.
    clerk: RateLimiter | None
    domains: Mapping[str, RateLimiter]

    @property
    def services(self) -> tuple[RateLimiter, ...]:
        """The limiters of which every message needs a permit."""
        return (self.messages, self.clerk) if self.clerk else (self.messages,)

    @property
    def paused_why(self) -> str:
        """The fault for which a service is paused now; empty if none is."""
        return next((limiter.paused_why for limiter in self.services if limiter.is_paused), "")

    @property
    def told_of_pause(self) -> str:
        """The same, with the time after which the run gives up."""
        return next((limiter.paused_why + limiter.patience for limiter in self.services if limiter.is_paused), "")
