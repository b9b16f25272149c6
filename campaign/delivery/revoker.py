"""Revoke the tokens that no accepted message carries, until Clerk has answered for each: `TokenRevoker.run`."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from campaign.errors import Scope, ServiceRefusesError, TransientError
from campaign.model import Revocation

if TYPE_CHECKING:
    from campaign.clerk.client import Clerk
    from campaign.clock import Clock
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.delivery.retry import Backoff
    from campaign.sendlog import RunLog

#: Revocations under way at once.
_BATCH_SIZE = 20


class TokenRevoker:
    """Settles the log's pending revocations with Clerk."""

    def __init__(self, log: RunLog, clerk: Clerk, limiter: RateLimiter, backoff: Backoff, clock: Clock) -> None:
        self._log = log
        self._clerk = clerk
        self._limiter = limiter
        self._backoff = backoff
        self._clock = clock
        self._wake = asyncio.Event()
        self._finishing = asyncio.Event()
        #: What Clerk answered, counted.
        self.settled: Counter[Revocation] = Counter()

    async def run(self) -> None:
        """Settle revocations as they come, until `finish` was called and Clerk has answered as far as it does.

        Raises:
            ServiceRefusesError: Clerk refuses the key.
            SendLogError: the log cannot be written.
        """
        while True:
            finishing = self._finishing.is_set()
            self._wake.clear()
            wait = await self.settle_all()
            if finishing:
                return
            if wait is None:
                await self._wake.wait()
            else:
                await self._clock.wait(self._finishing, wait)

    def wake(self) -> None:
        """Look for pending revocations: there is a new one."""
        self._wake.set()

    def finish(self) -> None:
        """Let `run` settle what is pending, and return."""
        self._finishing.set()
        self._wake.set()

    async def settle_all(self) -> float | None:
        """Settle what is pending until nothing is left, or until Clerk gives no answer.

        Returns:
            None if nothing is left; else the seconds for which Clerk is to be left alone.

        Raises:
            ServiceRefusesError: Clerk refuses the key.
            SendLogError: the log cannot be written.
        """
        while pending := await self._log.try_revocations(_BATCH_SIZE):
            answers = await asyncio.gather(*(self._settle(*each) for each in pending), return_exceptions=True)
            in_vain = [each for (each, _), answer in zip(pending, answers, strict=True) if _changed_nothing(answer)]
            if in_vain:
                await self._log.undo_attempt(in_vain)
            late = [answer for answer in answers if isinstance(answer, TransientError)]
            for answer in answers:
                if isinstance(answer, BaseException) and not isinstance(answer, TransientError):
                    raise answer
            if len(late) < len(answers):
                self._backoff.succeeded()  # one answer ends the streak, whatever became of the others
            if late:
                # all of them: what one answer asks for (Retry-After) counts though another came before it
                paused_until = max(self._backoff.back_off(self._limiter, error) for error in late)
                return max(0.0, paused_until - self._clock.now())
        return None

    async def _settle(self, token_id: str, doubtful: bool) -> None:
        await self._limiter.acquire_or_defer("Clerk", Scope.CLERK)
        answer = await self._clerk.revoke_sign_in_token(token_id)
        if answer is Revocation.USED and doubtful:
            answer = Revocation.UNKNOWN  # an earlier try may have revoked it: that tells nothing of anybody
        await self._log.settle_revocation(token_id, answer)
        self.settled[answer] += 1


def _changed_nothing(answer: object) -> bool:
    """Return whether a try was not made, or refused, so that it cannot have revoked the token."""
    return isinstance(answer, ServiceRefusesError) or (isinstance(answer, TransientError) and not answer.maybe_applied)
