"""Wait for a send log whose server does not answer, outside of a run's own connection: `until_answered`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from campaign.clock import SystemClock
from campaign.errors import LogUnreachableError, SendLogUnusableError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: A server that is away is asked again after this time (seconds).
_RETRY_S = 0.5


async def until_answered(read: Callable[[], T], say: Callable[[str], object]) -> T:
    """Return what `read` returns, as soon as the server of the log answers; say so, if it does not at once.

    Args:
        read: reads the log over a connection of its own, in another thread; it may be called again.
        say: told what is waited for, and that it is over.

    Raises:
        SendLogUnusableError: the log cannot be used for another reason than a server that is away.
    """
    clock, is_told, was_lost = SystemClock(), False, False
    while True:
        try:
            found = await asyncio.to_thread(read)
        except LogUnreachableError as error:
            if not is_told:
                say(f"Waiting: {error}")
            is_told = True
            await clock.sleep(_RETRY_S)
        except SendLogUnusableError:
            # a session that its server ends fails once, and the next one says whether the server is away
            if was_lost:
                raise
            was_lost = True
        else:
            if is_told:
                say("PostgreSQL answers again; the command goes on")
            return found
