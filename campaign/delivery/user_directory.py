"""Look up Clerk users in batches and check that each recipient's address is theirs: `UserDirectory.user_of`."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Literal

from campaign.errors import CampaignError, PermanentError, Scope
from campaign.recipients import normalise_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from campaign.clerk.client import Clerk
    from campaign.clock import Clock
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.model import ClerkUser, Delivery, Recipient

#: `GET /v1/users` accepts at most this many ids or addresses.
USERS_PER_CALL = 100
#: What is known of a user's activity may be this old (seconds).
_MAX_AGE_S = 60.0
#: Half a page of rows: at 100 rows a second Clerk has half a second to answer.
_READ_AHEAD_ROWS = 50


class _Batch:
    """Users who are looked up in one call."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.answer: asyncio.Future[list[ClerkUser]] = asyncio.get_running_loop().create_future()
        #: The call failed, and a caller of `user_of` has received the error.
        self.failed = False
        #: When the answer came (seconds since the epoch); None before that.
        self.at: float | None = None


class UserDirectory:
    """The Clerk users of the current recipients, looked up with at most 100 per call.

    The address must be one of the user's own: a CSV row with an admin's id and another person's address would let
    that person take over the admin's account.

    Args:
        clerk: the API client.
        limiter: Clerk's rate limiter, shared with the token calls.
        by_address: look users up by address; the CSV's ids are not needed.
        verify: the address must belong to the user: "any" also accepts one that Clerk has not verified; False accepts
            every address of a user who is looked up by id.
        clock: the time; needed by `user_of` with `lately`.
    """

    def __init__(
        self,
        clerk: Clerk,
        limiter: RateLimiter,
        *,
        by_address: bool,
        verify: bool | Literal["any"] = True,
        clock: Clock,
    ) -> None:
        self._clerk = clerk
        self._limiter = limiter
        self._by_address = by_address
        self._verify = verify
        self._clock = clock
        self._answered = False
        #: The batch of each user that `fetch` requested, by id or address, until `user_of` takes it.
        self._batches: dict[str, _Batch] = {}

    @property
    def makes_users(self) -> bool:
        """Whether a recipient without a user gets one."""
        return False

    @property
    def read_ahead(self) -> int:
        """The scheduler reads the next page when fewer rows than this are left, so that its users are known in time.

        It is 1 while Clerk has not answered the last call, so that after a fault a single call tries again.
        """
        return _READ_AHEAD_ROWS if self._answered else 1

    async def fetch(self, recipients: Iterable[Recipient]) -> None:
        """Request these recipients' users from Clerk; `user_of` then waits for the answer.

        It raises no errors: `user_of` raises them for each recipient.
        """
        wanted = [name for name in dict.fromkeys(map(self._name, recipients)) if name not in self._batches]
        starts = range(0, len(wanted), USERS_PER_CALL)
        batches = [_Batch(wanted[start : start + USERS_PER_CALL]) for start in starts]
        for batch in batches:
            self._batches |= dict.fromkeys(batch.names, batch)
        for batch in batches:
            await self._ask(batch)

    async def user_for(self, delivery: Delivery, *, raise_if_aborted: Callable[[], None]) -> ClerkUser:
        """Return the Clerk user for whom a delivery's token is issued.

        Args:
            delivery: the row.
            raise_if_aborted: called right before a call that changes something at Clerk.

        Raises:
            DeliveryError, ServiceRefusesError: see `user_of`.
        """
        del raise_if_aborted  # nothing is changed
        return await self.user_of(delivery.recipient)

    async def user_of(self, recipient: Recipient, *, lately: bool = False) -> ClerkUser:
        """Return the Clerk user with a recipient's id or address.

        Raises:
            PermanentError: there is no such user; or see `find`.
            TransientError, ServiceRefusesError: see `Clerk.users_by_id`.
        """
        user = await self.find(recipient, lately=lately)
        if user is None:
            raise self.missing(recipient)
        return user

    async def find(self, recipient: Recipient, *, lately: bool = False) -> ClerkUser | None:
        """Return the Clerk user with a recipient's id or address, or None if there is none.

        Args:
            recipient: the row.
            lately: ask again if Clerk's answer is older than 60 seconds, because the user's activity matters.

        Raises:
            PermanentError: the user is banned or locked, or the address is not the user's own or not verified by Clerk.
            TransientError, ServiceRefusesError: see `Clerk.users_by_id`.
        """
        users = await self._users_of(self._name(recipient), max_age=_MAX_AGE_S if lately else inf)
        return self._one_of(users, recipient)

    async def find_again(self, recipient: Recipient) -> ClerkUser | None:
        """Return the Clerk user with a recipient's id or address as Clerk has it now; see `find`."""
        batch = _Batch([self._name(recipient)])
        await self._ask(batch)
        return self._one_of(await batch.answer, recipient)

    def missing(self, recipient: Recipient) -> PermanentError:
        """Return the error of a recipient who has no Clerk user."""
        what = "this address" if self._by_address else f"the id {self._name(recipient)}"
        return PermanentError(f"Clerk has no user with {what}", skip=True)

    def _one_of(self, users: Sequence[ClerkUser], recipient: Recipient) -> ClerkUser | None:
        """Return the recipient's user of those that Clerk answered with; see `find`."""
        address = recipient.email.lower()
        if self._by_address:
            found = [user for user in users if address in self._own_addresses(user)]
            if len(found) > 1:
                raise PermanentError(f"{len(found)} Clerk users have this address", skip=True)
            found = found or [user for user in users if address in _normalised(user.addresses)]
        else:
            found = [user for user in users if user.id == self._name(recipient)]
        if not found:
            return None
        user = found[0]
        if self._by_address or self._verify:
            self.require_own(user, address)
        return user

    def require_own(self, user: ClerkUser, address: str) -> None:
        """Check that a user may get a link at an address, which is in lower case.

        Raises:
            PermanentError: the address is not the user's own or not verified, or the user is banned or locked.
        """
        if address not in _normalised(user.addresses):
            raise PermanentError(f"the address does not belong to {user.id} at Clerk", skip=True)
        if address not in self._own_addresses(user):
            raise PermanentError("the address is not verified at Clerk", skip=True)
        if user.banned or user.locked:
            raise PermanentError(f"{user.id} is {'banned' if user.banned else 'locked'} at Clerk", skip=True)

    async def _users_of(self, name: str, *, max_age: float) -> list[ClerkUser]:
        batch = self._batches.pop(name, None)
        is_old = (
            batch is not None and batch.at is not None and (self._clock.now() - batch.at) / self._clock.speed > max_age
        )
        if batch is None or batch.failed or is_old:
            # callers that waited for a failed call get its error; a later caller repeats it for all users left in it
            others = [other for other, found in self._batches.items() if found is batch]
            batch = _Batch([name, *others])
            self._batches |= dict.fromkeys(others, batch)
            await self._ask(batch)
        try:
            return await batch.answer
        except PermanentError:
            if len(batch.names) == 1:
                raise
            return await self._users_of(name, max_age=max_age)  # Clerk rejects one id without naming it: try each alone
        except CampaignError:
            batch.failed = True
            raise

    def _own_addresses(self, user: ClerkUser) -> set[str]:
        """Return the user's verified addresses, because anyone can add a foreign address to their account.

        With `verify="any"`, return all addresses.
        """
        return _normalised(user.addresses if self._verify == "any" else user.verified)

    def _name(self, recipient: Recipient) -> str:
        return recipient.email.lower() if self._by_address else recipient.user_id or ""

    async def _ask(self, batch: _Batch) -> None:
        self._answered = False
        try:
            await self._limiter.pass_call("Clerk", Scope.CLERK)
            users = self._clerk.users_by_address if self._by_address else self._clerk.users_by_id
            found = await users(batch.names)
            batch.at = self._clock.now()
            batch.answer.set_result(found)
            self._answered = True
        except CampaignError as error:
            batch.answer.set_exception(error)
            batch.answer.exception()  # mark it as retrieved: perhaps no `user_of` awaits it
        except BaseException:
            batch.answer.cancel()
            raise


def _normalised(addresses: Iterable[str]) -> set[str]:
    """Return Clerk's addresses in the form of the CSV's: IDN domains in A-labels, lower case."""
    found = set()
    for address in addresses:
        try:
            found.add(normalise_address(address).lower())
        except ValueError:
            found.add(address)
    return found
