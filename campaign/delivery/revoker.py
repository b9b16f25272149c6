"""Revoke the tokens that no accepted message carries: `TokenRevoker.run`, with retries until Clerk has answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from campaign.errors import CampaignError, Scope, ServiceRefusesError, TransientError
from campaign.model import Revocation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.clerk.client import Clerk
    from campaign.clock import Clock
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.delivery.retry import Backoff
    from campaign.sendlog import RunLog

#: Revocations under way at once.
_BATCH_SIZE = 20


class TokenRevoker:
    """Sends the log's pending revocations to Clerk and records the answers."""

    def __init__(self, log: RunLog, clerk: Clerk, limiter: RateLimiter, backoff: Backoff, clock: Clock) -> None:
        self._log = log
        self._clerk = clerk
        self._limiter = limiter
        self._backoff = backoff
        self._clock = clock
        self._wake = asyncio.Event()
        self._finishing = asyncio.Event()
        #: Clerk's answers, counted.
        self.settled: Counter[Revocation] = Counter()
        #: The callers of `revoke`, by the token's id.
        self._callers: dict[str, asyncio.Future[Revocation]] = {}
        #: Why `run` ended; None while it runs.
        self._ended: CampaignError | None = None

    async def run(self) -> None:
        """Settle revocations as they are added. After `finish`, try all pending ones once more and return.

        Raises:
            ServiceRefusesError: Clerk refuses the key.
            SendLogError: the log cannot be written.
        """
        try:
            await self._run()
        except CampaignError as error:
            self._ended = error
            raise
        finally:
            self._refuse(list(self._callers))

    async def revoke(self, token_id: str) -> Revocation:
        """Return Clerk's answer to a pending revocation; it is made by `run`, so that no two calls are about one token.

        Raises:
            TransientError: Clerk did not answer; the revocation stays pending.
            ServiceRefusesError: Clerk refuses the key.
        """
        if self._ended:
            raise self._ended
        self._limiter.raise_if_paused("Clerk", Scope.CLERK)
        answer = self._callers.setdefault(token_id, asyncio.get_running_loop().create_future())
        self._wake.set()
        return await answer

    async def _run(self) -> None:
        while True:
            finishing = self._finishing.is_set()
            self._wake.clear()
            callers = list(self._callers)
            wait = await self.settle_all()
            # who came during the round is served by the next one, unless Clerk does not answer
            self._refuse(callers if wait is None else list(self._callers))
            if finishing:
                return
            if wait is None:
                await self._wake.wait()
            else:
                await self._clock.wait(self._finishing, wait)

    def wake(self) -> None:
        """Tell `run` that the log has a new pending revocation."""
        self._wake.set()

    def finish(self) -> None:
        """Tell `run` to try the pending revocations once more and then return."""
        self._finishing.set()
        self._wake.set()

    async def settle_all(self) -> float | None:
        """Settle pending revocations until none is left, or until Clerk does not answer one.

        Returns:
            None if none is left; otherwise the seconds to wait before the next call to Clerk.

        Raises:
            ServiceRefusesError: Clerk refuses the key.
            SendLogError: the log cannot be written.
        """
        # after a fault one call at a time tries whether Clerk works again
        while pending := await self._log.try_revocations(1 if self._backoff.is_failing else _BATCH_SIZE):
            answers = await asyncio.gather(*(self._settle(*each) for each in pending), return_exceptions=True)
            in_vain = [each for (each, _), answer in zip(pending, answers, strict=True) if _changed_nothing(answer)]
            if in_vain:
                await self._log.undo_attempt(in_vain)
            late = [answer for answer in answers if isinstance(answer, TransientError)]
            for answer in answers:
                if isinstance(answer, BaseException) and not isinstance(answer, TransientError):
                    raise answer
            if len(late) < len(answers):
                self._backoff.succeeded()  # one answer shows that Clerk works, even if other calls failed
            if late:
                # pass every error on: the longest wait (Retry-After) counts, whichever answer came first
                paused_until = max(self._backoff.back_off(self._limiter, error) for error in late)
                return max(0.0, paused_until - self._clock.now())
        return None

    async def _settle(self, token_id: str, doubtful: bool) -> None:
        await self._limiter.pass_call("Clerk", Scope.CLERK)
        answer = await self._clerk.revoke_sign_in_token(token_id)
        if answer is Revocation.USED and doubtful:
            answer = Revocation.UNKNOWN  # an earlier try may have revoked it: this is no proof of a sign-in
        await self._log.settle_revocation(token_id, answer)
        self.settled[answer] += 1
        caller = self._callers.pop(token_id, None)
        if caller and not caller.done():
            caller.set_result(answer)

    def _refuse(self, token_ids: Sequence[str]) -> None:
        """Tell callers that Clerk did not answer the revocations of these tokens."""
        for token_id in token_ids:
            caller = self._callers.pop(token_id, None)
            if caller and not caller.done():
                caller.set_exception(TransientError("Clerk did not answer a revocation", scope=Scope.CLERK))


def _changed_nothing(answer: object) -> bool:
    """Return whether a try cannot have revoked the token, because it was not sent or was refused."""
    return isinstance(answer, ServiceRefusesError) or (isinstance(answer, TransientError) and not answer.maybe_applied)
