"""Make Clerk users for the entries of a waitlist, each at most once: `WaitlistUsers.user_for`.

The call has no idempotency key. So the intent is durable before it leaves, and a look-up by address says what came of
a call whose answer was lost. Only then may another one leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from campaign.delivery.user_directory import UserDirectory
from campaign.errors import CampaignError, DeferredError, PermanentError, Scope, ServiceRefusesError, TransientError
from campaign.model import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from campaign.clerk.client import Clerk
    from campaign.clock import Clock
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.model import ClerkUser, Delivery, Recipient, UserCreation
    from campaign.sendlog import RunLog

#: The reason of a row that is skipped because there is no user for its token.
NO_USER = "no user at Clerk"
#: For so long (seconds) a call of another campaign may be under way: it is longer than any call.
_UNDER_WAY_S = 90.0
#: For so long (seconds) Clerk may not show a user that it has made.
_NOT_SHOWN_YET_S = 60.0
#: After this many refusals in a row with the same words it is no entry's fault.
_REFUSALS_TO_ABORT = 12


class WaitlistUsers(UserDirectory):
    """The Clerk users of a waitlist's entries, which are found by address.

    Args:
        clerk: the API client.
        limiter: Clerk's rate limiter, shared with the token calls.
        log: journals each creation.
        verify: see `UserDirectory`.
        makes_users: make a user for an entry that has none.
        clock: the time.
    """

    def __init__(
        self,
        clerk: Clerk,
        limiter: RateLimiter,
        log: RunLog,
        *,
        verify: bool | Literal["any"],
        makes_users: bool,
        clock: Clock,
    ) -> None:
        super().__init__(clerk, limiter, by_address=True, verify=verify, clock=clock)
        self._clerk, self._limiter, self._log, self._clock = clerk, limiter, log, clock
        self._makes_users = makes_users
        #: The addresses, in lower case, for which Clerk's answer is not known; None until the log was asked.
        self._unanswered: set[str] | None = None
        #: Clerk's last refusal, and how often it came in a row.
        self._refusal, self._refusals = "", 0

    @property
    def makes_users(self) -> bool:
        """Whether a recipient without a user gets one."""
        return self._makes_users

    def missing(self, recipient: Recipient) -> PermanentError:
        """Return the error of an entry that has no Clerk user."""
        del recipient
        return PermanentError(NO_USER, skip=True)

    async def find(self, recipient: Recipient, *, lately: bool = False) -> ClerkUser | None:
        """Return the Clerk user with a recipient's address, or None; see `UserDirectory.find`."""
        return await self._settled(recipient, super().find(recipient, lately=lately))

    async def find_again(self, recipient: Recipient) -> ClerkUser | None:
        """Return the Clerk user with a recipient's address as Clerk has it now, or None."""
        return await self._settled(recipient, super().find_again(recipient))

    async def user_for(self, delivery: Delivery, *, raise_if_aborted: Callable[[], None]) -> ClerkUser:
        """Return the Clerk user for whom a delivery's token is issued; make one if there is none.

        Args:
            delivery: the row.
            raise_if_aborted: called right before a call that changes something at Clerk.

        Raises:
            PermanentError: there is no user, and none is made: that is not asked for, Clerk refuses it, or one was
                made and is gone; or see `UserDirectory.find`.
            DeferredError: another campaign is making the user, or the address has had its share of mails lately.
            TransientError, ServiceRefusesError: see `Clerk.create_user`.
        """
        recipient = delivery.recipient
        if user := await self.find(recipient):
            return user
        if not self._makes_users:
            raise self.missing(recipient)
        permit = await self._limiter.acquire_or_defer("Clerk", Scope.CLERK)
        raise_if_aborted()
        earlier = await self._log.creating_user(delivery)
        if earlier is not None:
            self._require_settled(earlier, delivery)
            if user := await self.find_again(recipient):
                return user
            if earlier.settled_at is not None:
                raise self._is_gone(recipient, earlier.settled_at)
            permit = await self._limiter.acquire_or_defer("Clerk", Scope.CLERK)
            raise_if_aborted()
            await self._log.creating_user(delivery, again=True)
        while not await permit.used():  # the write took so long that other workers do not wait for this call
            permit = await self._limiter.acquire_or_defer("Clerk", Scope.CLERK)
        return await self._made(recipient)

    # -- inside --------------------------------------------------------------------------------------------------

    async def _made(self, recipient: Recipient) -> ClerkUser:
        """Return a new user for a recipient whose creation the log has as intended."""
        address = recipient.email.lower()
        unanswered = await self._addresses()
        unanswered.add(address)
        try:
            user = await self._clerk.create_user(recipient.email)
        except CampaignError as error:
            if not (isinstance(error, TransientError) and error.maybe_applied):
                await self._log.settle_user(address, "refused", None)
                unanswered.discard(address)
            if isinstance(error, PermanentError):
                self._count(error)
            raise
        if user is None:
            return await self._taken(recipient)
        await self._log.settle_user(address, "created", user.id)
        unanswered.discard(address)
        self._refusals = 0
        self.require_own(user, address)
        return user

    async def _taken(self, recipient: Recipient) -> ClerkUser:
        """Return the user that already had the address."""
        if user := await self.find_again(recipient):
            return user
        # settled all the same: another call would be refused again
        address = recipient.email.lower()
        await self._log.settle_user(address, "found", None)
        (await self._addresses()).discard(address)
        raise TransientError("Clerk says that the address is taken, and shows no user with it")

    async def _settled(self, recipient: Recipient, asked: Coroutine[Any, Any, ClerkUser | None]) -> ClerkUser | None:
        """Return the user that a look-up finds; it settles a call whose answer was lost."""
        user: ClerkUser | None = None
        is_there = False
        try:
            user = await asked
            is_there = user is not None
        except PermanentError as error:
            is_there = error.reply is None  # there is a user, who may not get a link
            raise
        finally:
            address = recipient.email.lower()
            if is_there and address in (unanswered := await self._addresses()):
                await self._log.settle_user(address, "found", user.id if user else None)
                unanswered.discard(address)
        return user

    async def _addresses(self) -> set[str]:
        if self._unanswered is None:
            self._unanswered = await self._log.pending_users()
        return self._unanswered

    def _require_settled(self, earlier: UserCreation, delivery: Delivery) -> None:
        """Wait for a call that another row has under way: two campaigns of one log may share a waitlist."""
        until = earlier.asked_at + _UNDER_WAY_S
        if earlier.settled_at is None and earlier.delivery_id != delivery.id and self._clock.now() < until:
            raise DeferredError("another campaign is making the user", until=until, waiting=Waiting.RETRY)

    def _is_gone(self, recipient: Recipient, settled_at: float) -> PermanentError | TransientError:
        """Return the error of a recipient whose user was made and is not shown.

        Somebody deleted the user, or took the address away: another one would be a second user for one person.
        """
        if self._clock.now() < settled_at + _NOT_SHOWN_YET_S:
            return TransientError("Clerk does not show the user yet that it has made")
        return self.missing(recipient)

    def _count(self, error: PermanentError) -> None:
        """Stop the run if Clerk refuses all users for the same reason."""
        words = str(error.reply)
        self._refusal, self._refusals = words, self._refusals + 1 if words == self._refusal else 1
        if self._refusals >= _REFUSALS_TO_ABORT:
            raise ServiceRefusesError(
                f"Clerk refused to create {self._refusals} users in a row with the same words: {words}. Check the "
                "required fields of your Clerk instance; then campaign retry with --state skipped queues the rows again"
            )
