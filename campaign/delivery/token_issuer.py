"""Issue the sign-in token of each delivery, and every step of it durable: `TokenIssuer.issue`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.delivery.semaphore import ResizableSemaphore
from campaign.errors import Scope, ServiceRefusesError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from campaign.clerk.client import Clerk
    from campaign.clock import Clock
    from campaign.delivery.attempt import Attempt
    from campaign.delivery.concurrency import Concurrency
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.delivery.revoker import TokenRevoker
    from campaign.delivery.user_directory import UserDirectory
    from campaign.model import Recipient
    from campaign.sendlog import RunLog

#: A token that has lost this share of its life while its message waited is not sent: the reader needs the rest.
_MAX_SHARE_OF_LIFE_SPENT = 0.25


class TokenIssuer:
    """Asks Clerk for one token per delivery, within its rate limit and a limit of calls at once.

    Args:
        clerk: makes the calls.
        users: says whom a token is for; None takes the CSV's ids as they are (`verify_address = false`).
        revoker: settles the tokens that no message carries.
        log: makes each step durable.
        limiter: Clerk's rate limit.
        concurrency: decides how many calls are of use at once, and learns how long one takes.
        clock: the time.
        expires_in: how long a token lives.
    """

    def __init__(
        self,
        clerk: Clerk,
        users: UserDirectory | None,
        revoker: TokenRevoker,
        *,
        log: RunLog,
        limiter: RateLimiter,
        concurrency: Concurrency,
        clock: Clock,
        expires_in: timedelta,
    ) -> None:
        self._clerk = clerk
        #: Asked for each page's users ahead of their turn.
        self.users = users
        #: Settles the tokens that no message carries.
        self.revoker = revoker
        self._log = log
        self._limiter = limiter
        self._concurrency = concurrency
        self._clock = clock
        self._expires_in = expires_in
        self._calls = ResizableSemaphore(lambda: concurrency.max_token_calls)

    async def issue(self, attempt: Attempt, *, raise_if_aborted: Callable[[], None]) -> None:
        """Give an attempt its token; the log holds `issuing` before the call and the token's id after it.

        Args:
            attempt: has no token yet.
            raise_if_aborted: called last before the log and Clerk are asked, so that an aborted run asks no more.

        Raises:
            DeliveryError: no token for this recipient, now or ever; see `Clerk.create_sign_in_token`.
            ServiceRefusesError: Clerk refuses us, or issued a token for another user.
        """
        user_id = await self._user_id_of(attempt.delivery.recipient)
        # the permit is taken within the semaphore, so that nothing stands between the log's row and the call
        async with self._calls:
            permit = await self._limiter.acquire_or_defer("Clerk", Scope.CLERK)
            raise_if_aborted()
            attempt.delivery = await self._log.issuing(attempt.delivery, user_id=user_id, expires_in=self._expires_in)
            permit.used()
            attempt.token_asked_at = self._clock.now()
            attempt.token = token = await self._clerk.create_sign_in_token(user_id, expires_in=self._expires_in)
        self._concurrency.token.note(self._clock.now() - attempt.token_asked_at)
        await self._log.issued(attempt.delivery, token)
        if token.user_id != user_id:
            raise ServiceRefusesError(
                f"Clerk issued a token for {token.user_id} instead of {user_id}; ask Clerk's support. "
                "Nothing more is sent"
            )

    def raise_if_stale(self, attempt: Attempt) -> None:
        """Raise TransientError for a token whose message waited too long; the next attempt gets a new one."""
        age = self._clock.now() - attempt.token_asked_at
        if age > self._expires_in.total_seconds() * _MAX_SHARE_OF_LIFE_SPENT:
            raise TransientError(
                "the token became too old while the message waited; the message gets a new one", scope=Scope.NONE
            )

    async def _user_id_of(self, recipient: Recipient) -> str:
        if self.users is None:
            return recipient.user_id or ""
        return await self.users.user_id_of(recipient)
