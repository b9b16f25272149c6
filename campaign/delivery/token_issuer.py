"""Issue the sign-in token of each delivery, and write each step to the send log: `TokenIssuer.issue`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.delivery.semaphore import ResizableSemaphore
from campaign.errors import PermanentError, RecipientsError, RowError, Scope, ServiceRefusesError, TransientError
from campaign.recipients.organization import organization_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from campaign.clerk.client import Clerk
    from campaign.clock import Clock
    from campaign.config.definition import LinkSection
    from campaign.delivery.attempt import Attempt
    from campaign.delivery.concurrency import Concurrency
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.delivery.revoker import TokenRevoker
    from campaign.delivery.user_directory import UserDirectory
    from campaign.model import Delivery, Recipient, SignInToken
    from campaign.sendlog import RunLog

#: Do not send a token that has lost more than this share of its lifetime in the queue: the recipient needs the rest.
MAX_SHARE_OF_LIFE_SPENT = 0.25


class TokenIssuer:
    """Requests one token per delivery from Clerk, within Clerk's rate limit and a limit of concurrent calls.

    Args:
        clerk: the API client.
        users: finds and checks the user of each recipient; None uses the CSV's user ids unchecked
            (`verify_address = false`).
        revoker: revokes the tokens that no accepted message carries.
        log: makes each step durable.
        limiter: Clerk's rate limiter.
        concurrency: sets the limit of concurrent calls from the time that a call takes, which it is told.
        clock: the time.
        link_of: the link of a delivery's step and locale: its token's lifetime and organization; None: no link.
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
        link_of: Callable[[Delivery], LinkSection | None],
    ) -> None:
        self._clerk = clerk
        self._users = users
        #: Revokes the tokens that no accepted message carries.
        self.revoker = revoker
        self._log = log
        self._limiter = limiter
        self._concurrency = concurrency
        self._clock = clock
        #: The link of a delivery's step and locale; None: its mail has no link.
        self.link_of = link_of
        self._calls = ResizableSemaphore(lambda: concurrency.max_token_calls)

    @property
    def read_ahead(self) -> int:
        """The scheduler reads the next page when fewer rows than this are left."""
        return self._users.read_ahead if self._users else 1

    async def prepare(self, page: Sequence[Delivery]) -> None:
        """Ask for the users of a page's rows before their deliveries begin."""
        if self._users:
            await self._users.fetch([delivery.recipient for delivery in page if self.link_of(delivery)])

    async def issue(self, attempt: Attempt, *, raise_if_aborted: Callable[[], None]) -> None:
        """Issue the attempt's token; write `issuing` to the log before the call and the token's id after it.

        Args:
            attempt: has no token yet; its mail has a link.
            raise_if_aborted: called right before the log's write and the call, so that an aborted run requests no
                more tokens.

        Raises:
            DeliveryError: no token for this recipient, now or ever; see `Clerk.create_sign_in_token`.
            ServiceRefusesError: Clerk refuses all requests, or issued a token for another user.
        """
        recipient = attempt.delivery.recipient
        link = self.link_of(attempt.delivery)
        assert link is not None  # noqa: S101 - the caller has looked
        org_id = _organization_of(recipient, link)
        if (old := attempt.delivery.replaced_token) and await self._log.ask_revocation(attempt.delivery, old) is None:
            await self.revoker.revoke(old)  # a person has one live link
        user_id = attempt.user_id or await self._user_id_of(attempt.delivery, raise_if_aborted)
        # acquire the permit inside the semaphore, so that no wait follows between the log's write and the call
        async with self._calls:
            permit = await self._limiter.acquire_or_defer("Clerk", Scope.CLERK)
            raise_if_aborted()
            attempt.delivery = await self._log.issuing(attempt.delivery, user_id=user_id, expires_in=link.expires_in)
            while not await permit.used():  # the write took so long that other workers do not wait for this call
                permit = await self._limiter.acquire_or_defer("Clerk", Scope.CLERK)
            attempt.token_asked_at = self._clock.now()
            attempt.token = token = await self._request(user_id, link.expires_in, org_id)
        self._concurrency.token.note(self._clock.now() - attempt.token_asked_at)
        await self._log.issued(attempt.delivery, token)
        if token.user_id != user_id:
            raise ServiceRefusesError(
                f"Clerk issued a token for {token.user_id} instead of {user_id}; ask Clerk's support. "
                "Nothing more is sent"
            )

    def raise_if_stale(self, attempt: Attempt) -> None:
        """Raise TransientError if the token is too old to be sent; the next attempt gets a new one."""
        link = self.link_of(attempt.delivery) if attempt.token else None
        # in the machine's seconds: a simulation (`run --speed`) is about the schedule, not about this machine's pace
        age = (self._clock.now() - attempt.token_asked_at) / self._clock.speed
        if link and age > link.expires_in.total_seconds() * MAX_SHARE_OF_LIFE_SPENT:
            raise TransientError(
                "the token became too old while the message waited; the message gets a new one", scope=Scope.NONE
            )

    async def _request(self, user_id: str, lifetime: timedelta, org_id: str | None) -> SignInToken:
        """Return a new token; after a fault of Clerk, calls are made one at a time until one succeeds.

        A call whose answer is lost may leave a token with an unknown id. So an outage leaves few of them.
        """
        try:
            token = await self._clerk.create_sign_in_token(user_id, expires_in=lifetime, org_id=org_id)
        except TransientError as error:
            self._concurrency.probes_clerk = self._concurrency.probes_clerk or error.scope is Scope.CLERK
            raise
        self._concurrency.probes_clerk = False
        return token

    async def _user_id_of(self, delivery: Delivery, raise_if_aborted: Callable[[], None]) -> str:
        if self._users is None:
            return delivery.recipient.user_id or ""
        return (await self._users.user_for(delivery, raise_if_aborted=raise_if_aborted)).id


def _organization_of(recipient: Recipient, link: LinkSection) -> str | None:
    if link.org_id is None:
        return None
    try:
        return organization_of(recipient, link.org_id)
    except (RecipientsError, RowError) as error:  # the row was enlisted before the campaign file named the column
        raise PermanentError(f"line {recipient.line}: {error}", skip=True) from None
