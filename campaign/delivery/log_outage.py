"""A send log whose server does not answer, outside of a run's own connection: `until_answered`, `SessionOutage`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from campaign.clock import SystemClock
from campaign.errors import LogUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.clock import Clock
    from campaign.sendlog import SendLog

T = TypeVar("T")

#: A server that is away is asked again after this time (seconds).
_RETRY_S = 0.5
#: A run that lacks one of its sessions says so after this time (seconds).
_SILENT_S = 5.0


async def until_answered(read: Callable[[], T], say: Callable[[str], object]) -> T:
    """Return what `read` returns, as soon as the server of the log answers; say so, if it does not at once.

    Args:
        read: reads the log over a connection of its own, in another thread; it may be called again.
        say: told what is waited for, and that it is over.

    Raises:
        SendLogUnusableError: the log cannot be used for another reason than a server that is away.
    """
    clock, is_told = SystemClock(), False
    while True:
        try:
            found = await asyncio.to_thread(read)
        except LogUnreachableError as error:
            if not is_told:
                say(f"Waiting: {error}")
            is_told = True
            await clock.sleep(_RETRY_S)
        else:
            if is_told:
                say("PostgreSQL answers again; the command goes on")
            return found


class OutageWords(NamedTuple):
    """What a run says of an outage."""

    #: The beginning of the sentence that tells of it; the reason follows.
    lost: str
    #: The sentence that tells of its end.
    back: str


#: A run cannot reserve permits, and sends nothing.
RATES_OUTAGE = OutageWords(
    "Waiting for the rates that all runs share", "The rates that all runs share answer again; the run goes on"
)
#: A run does not hear what the other runs tell, and goes on without it.
HEARING_OUTAGE = OutageWords(
    "This run does not hear when other runs pause for Clerk or the mail server", "This run hears the other runs again"
)


class SessionOutage:
    """Says that a run has no session for one of its purposes, beside the one with which it writes.

    It is for a run whose own connection is alive: a run whose log is away says that already.

    Args:
        log: the run's log, which says it.
        clock: the time.
        words: what it says.
    """

    def __init__(self, log: SendLog, clock: Clock, words: OutageWords) -> None:
        self._log = log
        self._clock = clock
        self._words = words
        #: When it began; None: there is a session.
        self._since: float | None = None
        self._is_told = False

    def failed(self, why: str) -> None:
        """Note that there was no session."""
        now = self._clock.now()
        self._since = now if self._since is None else self._since
        if now - self._since >= _SILENT_S and not self._is_told and not self._log.is_away:
            self._is_told = True
            self._log.say(f"{self._words.lost}: {why}")

    def ended(self) -> None:
        """Note that there is one."""
        if self._is_told:
            self._log.say(self._words.back)
        self._since, self._is_told = None, False
