"""Wait for the rows that other runs of the log have in hand: `OtherRuns.wait`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from campaign.clock import Clock
    from campaign.sendlog import RunLog

#: How often an observer is told that the run still waits (seconds).
_TOLD_EVERY_S = 60.0
#: The first wait (seconds). Each one is twice as long as the one before while the others settle nothing.
_FIRST_WAIT_S = 0.1


class OtherRuns:
    """The other runs of the log, whose rows come back if they fail there or their run is lost.

    Args:
        log: the queue, entered.
        clock: the time.
        longest_wait: how long to wait while their number stays the same (seconds).
        on_wait: told what is waited for, and until when it is told again (seconds since the epoch).
    """

    def __init__(self, log: RunLog, clock: Clock, longest_wait: float, on_wait: Callable[[str, float], None]) -> None:
        self._log = log
        self._clock = clock
        self._longest_wait = longest_wait
        self._on_wait = on_wait
        self._told_until = 0.0
        self._number, self._since = 0, 0.0
        self._wait_s = _FIRST_WAIT_S

    async def wait(self, changed: asyncio.Event) -> bool:
        """Wait a moment while others have rows of this run's CSV in hand, and say so once a minute.

        Args:
            changed: ends the wait.

        Returns:
            False, at once, if they have none, or the run does not wait any longer.
        """
        number, now = await self._log.held_by_others() if self._longest_wait else 0, self._clock.now()
        if number != self._number:
            self._number, self._since, self._wait_s = number, now, _FIRST_WAIT_S
        if not number or now - self._since >= self._longest_wait:
            return False
        if now >= self._told_until:
            self._told_until = now + _TOLD_EVERY_S
            rows = "1 row" if number == 1 else f"{number:,} rows"
            why = f"other runs have {rows} of this CSV in hand; see them with: campaign workers"
            self._on_wait(why, self._told_until)
        await self._clock.wait(changed, self._wait_s)
        self._wait_s = min(2 * self._wait_s, self._log.queue_holds_s)
        return True
