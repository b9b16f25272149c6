"""Rate limits and pauses of one service or domain: `RateLimiter.acquire_or_defer` gives a permit for each call."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any

from campaign.delivery.lowered_rate import LoweredRate
from campaign.delivery.permit import Permit
from campaign.delivery.window import Window
from campaign.errors import Scope, TransientError
from campaign.sendlog.permits import HoldKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence

    from campaign.clock import Clock
    from campaign.delivery.shared_limit import SharedLimit
    from campaign.delivery.window import Allowance
    from campaign.model import Rate

#: A pause that is longer than this is not waited for by a delivery that is under way.
_LONGEST_PAUSE_S = 5.0
#: The pause after the service said that calls come too fast.
_TOO_FAST_PAUSE_S = 1.5
#: The rate that was too fast is measured over at most this many calls and seconds.
_MEASURED_CALLS = 20
_MEASURED_S = 2.0


class RateLimiter:
    """Gives permits, first come first served, so that no rate is exceeded and no pause is broken.

    Args:
        rates: all of them are kept at once; none means no limit.
        clock: the time.
        spent: permits of earlier runs as (instant, number), oldest first, so that a restart resets no window.
        shared: the share of these rates, if all workers of the log keep them together; it knows what was spent.
        tell: tells the other workers of a hold, with its seconds and the reason.
    """

    def __init__(
        self,
        rates: Sequence[Rate],
        clock: Clock,
        spent: Iterable[tuple[float, int]] = (),
        *,
        shared: SharedLimit | None = None,
        tell: Callable[[HoldKind, float, str], None] | None = None,
    ) -> None:
        self._clock = clock
        self._shared = shared
        self._tell = tell
        own = [] if shared else [Window(rate) for rate in rates]
        self._windows: list[Allowance] = [shared] if shared else [*own]
        #: The windows after these are of a lowered rate.
        self._declared = len(self._windows)
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
            for window in own:
                window.take(min(at, now), number)  # a clock that was ahead must not stall this run

    def next_permit_at(self, ahead: int = 0) -> float:
        """Return the earliest instant at which the next permit could be given.

        Of a budget such as `"50000/day"`, the permits of `ahead` deliveries that will still ask count as spent.
        """
        return max(self._paused_until, self._next_permit_at(ahead) if self._windows else self._clock.now())

    def next_permit_behind(self, others: int, *, is_ready: bool = False) -> float:
        """Return the earliest instant at which a permit could be given after `others` permits.

        With `is_ready` the message waits for nothing else: a permit of a shared rate is then reserved.
        """
        now = self._clock.now()
        found = max(now, self._paused_until, *(window.next_permit_behind(now, others) for window in self._windows))
        return max(found, self._shared.reserved_behind(now, others)) if is_ready and self._shared else found

    @property
    def paused_until(self) -> float:
        """The instant at which the last pause ends; one in the past if there is none."""
        return self._paused_until

    @property
    def paused_for(self) -> float:
        """How much longer the service is paused (seconds); 0 if it is not."""
        return max(0.0, self._paused_until - self._clock.now())

    @property
    def is_limited(self) -> bool:
        """Whether a rate is kept at present, a declared or a lowered one."""
        return bool(self._windows)

    @property
    def is_paused(self) -> bool:
        """Whether the service is paused."""
        return self._paused_until > self._clock.now()

    def expect(self, number: Callable[[], int]) -> None:
        """Let permits of a shared rate be reserved for as many calls as `number` returns, before they ask for them."""
        if self._shared:
            self._shared.expected = number

    async def wait(self, seconds: float) -> None:
        """Return after `seconds`, or earlier when permits of a shared rate were reserved."""
        if self._shared:
            await self._shared.wait(seconds)
        else:
            await self._clock.sleep(seconds)

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
            DeferredError: other workers have used up a budget; the same.
        """
        return self._acquire(_LONGEST_PAUSE_S, who, scope)

    async def pass_call(self, who: str, scope: Scope) -> None:
        """Return when a call may leave at once, with a permit that is used for it; see `acquire_or_defer`."""
        while not await (await self.acquire_or_defer(who, scope)).used():
            pass  # other workers did not wait for this call, so it needs another permit

    async def acquire_both(self, other: Callable[[], Awaitable[Permit]]) -> Permit:
        """Return a permit of this limiter and of another one, both given at the same instant.

        Pauses are ignored: the deliveries that ask were under way before.

        Args:
            other: acquires the other permit.
        """
        if not self._windows:
            return await other()
        with self._asking():
            async with self._queue:
                if self._shared:  # a permit of the other limiter would be lost if it waited for long
                    await self._until_near(self._shared)
                else:
                    await self._until_permitted()
                permit = await other()
                await self._until_permitted()
                return self._take(permit.pieces)

    async def _acquire(self, longest_pause: float, who: str = "", scope: Scope = Scope.NONE) -> Permit:
        if not self._windows and (not self._paused_until or self._paused_until <= self._clock.now()):
            return self._take([])
        with self._asking():
            async with self._queue:
                while (wait := self.next_permit_at() - self._clock.now()) > 0:
                    self._raise_if_paused(longest_pause, who, scope)
                    if self._shared and who:
                        self._shared.raise_if_far(wait)
                    await self.wait(wait)
                return self._take([])

    async def _until_permitted(self) -> None:
        """Return when the windows allow the next permit."""
        while (wait := self._next_permit_at() - self._clock.now()) > 0:
            if self._shared:
                self._shared.raise_if_far(wait)
            await self.wait(wait)

    async def _until_near(self, shared: SharedLimit) -> None:
        """Return when a permit of the shared rate is reserved, and comes soon."""
        while (wait := shared.near_in(self._clock.now())) > 0:
            shared.raise_if_far(wait)
            await self.wait(wait)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Count a call that waits for its permit."""
        if self._shared is None:
            yield
            return
        self._shared.asking += 1
        try:
            yield
        finally:
            self._shared.asking -= 1

    def raise_if_paused(self, who: str, scope: Scope) -> None:
        """Raise TransientError if a long pause is on; see `acquire_or_defer`."""
        self._raise_if_paused(_LONGEST_PAUSE_S, who, scope)

    def _raise_if_paused(self, longest_pause: float, who: str, scope: Scope) -> None:
        if self._paused_until > self._clock.now() + longest_pause:
            raise TransientError(f"{who} is paused", scope=scope)

    def _take(self, pieces: list[tuple[Allowance, Any]]) -> Permit:
        now = self._clock.now()
        self._given.append(now)
        if self._lowered and now >= self._lowered.raised_at:
            self._lower(self._lowered.raised(now))
        return Permit([*pieces, *((window, window.take(now)) for window in self._windows)], self._clock)

    def _next_permit_at(self, ahead: int = 0) -> float:
        """Return when the windows allow the next permit."""
        now = self._clock.now()
        return max(now, *(window.next_permit_at(now, ahead) for window in self._windows)) if self._windows else now

    def slow_down(self, why: str, *, tell: bool = True) -> None:
        """Pause shortly and keep a lower rate for a while: the service said that calls come too fast.

        A call that is refused during a pause was under way before it, so it counts as the same refusal.

        Args:
            why: the reason, for the operator.
            tell: tell other workers, each of which then lowers the rate of its own calls.
        """
        if self.is_paused:
            return
        now = self._clock.now()
        if tell or self._is_calling(now):
            measured = min(self._measured_rate(now), self.per_second or inf)
            current = self._lowered or LoweredRate(measured, now)
            self._lower(current.lower(now))
        if tell and self._tell:
            self._tell(HoldKind.SLOW_DOWN, _TOO_FAST_PAUSE_S, why)
        self.pause(_TOO_FAST_PAUSE_S, why, tell=False)

    def _is_calling(self, now: float) -> bool:
        return bool(self._given) and self._given[-1] > now - _MEASURED_S

    def _measured_rate(self, now: float) -> float:
        """Return the calls a second of late."""
        lately = [instant for instant in self._given if instant > now - _MEASURED_S]
        return (len(lately) - 1) / max(now - lately[0], 1e-3) if len(lately) > 1 else 1 / _MEASURED_S

    def _lower(self, lowered: LoweredRate | None) -> None:
        self._lowered = lowered
        del self._windows[self._declared :]
        if lowered:
            self._windows.append(Window(lowered.rate))

    def pause(self, seconds: float, why: str = "", *, patience: str = "", tell: bool = True) -> float:
        """Give no permit for `seconds` from now (a longer pause stays); return the instant at which it ends.

        Args:
            seconds: infinite if there is to be no permit in this run.
            why: the reason, for the operator.
            patience: how long the run bears it.
            tell: tell other workers; not if it is the fault of this one's network, or if another one told it.
        """
        until = self._clock.now() + seconds
        if until > self._paused_until:
            self._paused_until, self.paused_why, self.patience = until, why, patience
            if self._shared:
                self._shared.pause(until)
            if tell and self._tell:
                self._tell(HoldKind.BLOCK if seconds == inf else HoldKind.PAUSE, seconds, why)
        return self._paused_until
