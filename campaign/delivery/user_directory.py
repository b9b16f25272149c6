"""Look up Clerk's users in batches and hold the CSV's addresses against theirs: `UserDirectory.user_id_of`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from campaign.errors import CampaignError, PermanentError, Scope
from campaign.recipients import normalise_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from campaign.clerk.client import Clerk
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.model import ClerkUser, Recipient

#: `GET /v1/users` takes up to this many ids or addresses.
USERS_PER_CALL = 100
#: Half a page: at 100 rows a second Clerk has half a second to answer.
_READ_AHEAD_ROWS = 50


class _Batch:
    """Users who are asked for in one call."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.answer: asyncio.Future[list[ClerkUser]] = asyncio.get_running_loop().create_future()
        #: The call failed, and somebody has met the error.
        self.failed = False


class UserDirectory:
    """Clerk's users for the recipients at hand, a hundred a call.

    A row that pairs an admin's id with another person's address would be an account takeover, so an address must be
    one of the user's own.

    Args:
        clerk: the API.
        pacer: Clerk's allowance; a call for users draws on the same one as tokens.
        by_address: users are looked up by address, and the CSV's ids are not needed.
        any_address: count an address as the user's own although Clerk has not verified it.
    """

    def __init__(self, clerk: Clerk, limiter: RateLimiter, *, by_address: bool, any_address: bool = False) -> None:
        self._clerk = clerk
        self._limiter = limiter
        self._by_address = by_address
        self._any_address = any_address
        self._answered = False
        #: Who has been asked for, and has not been wanted yet.
        self._batches: dict[str, _Batch] = {}

    @property
    def read_ahead(self) -> int:
        """How many rows are left when the next page is read, so that its users are known when the rows' turn comes.

        One page at a time while Clerk has not answered the last call: after a fault one call tries it again.
        """
        return _READ_AHEAD_ROWS if self._answered else 1

    async def fetch(self, recipients: Iterable[Recipient]) -> None:
        """Ask Clerk for these recipients' users ahead of `user_id_of`, which then waits for the answer.

        Errors are not raised here: each recipient's own path meets them.
        """
        wanted = [name for name in dict.fromkeys(map(self._name, recipients)) if name not in self._batches]
        starts = range(0, len(wanted), USERS_PER_CALL)
        batches = [_Batch(wanted[start : start + USERS_PER_CALL]) for start in starts]
        for batch in batches:
            self._batches |= dict.fromkeys(batch.names, batch)
        for batch in batches:
            await self._ask(batch)

    async def user_id_of(self, recipient: Recipient) -> str:
        """Return the id of the Clerk user whom this recipient's token is for.

        Raises:
            PermanentError: there is no such user, the user is banned or locked, or the address is not the user's own,
                or Clerk has not verified it.
            TransientError, ServiceRefusesError: see `Clerk.users_by_id`.
        """
        name = self._name(recipient)
        users = await self._users_of(name)
        address = recipient.email.lower()
        if self._by_address:
            found = [user for user in users if address in self._own_addresses(user)]
            if len(found) > 1:
                raise PermanentError(f"{len(found)} Clerk users have this address", skip=True)
            found = found or [user for user in users if address in _normalised(user.addresses)]
        else:
            found = [user for user in users if user.id == name]
        if not found:
            what = "this address" if self._by_address else f"the id {name}"
            raise PermanentError(f"Clerk has no user with {what}", skip=True)
        user = found[0]
        if address not in _normalised(user.addresses):
            raise PermanentError(f"the address does not belong to {user.id} at Clerk", skip=True)
        if address not in self._own_addresses(user):
            raise PermanentError("the address is not verified at Clerk", skip=True)
        if user.banned or user.locked:
            raise PermanentError(f"{user.id} is {'banned' if user.banned else 'locked'} at Clerk", skip=True)
        return user.id

    async def _users_of(self, name: str) -> list[ClerkUser]:
        batch = self._batches.pop(name, None)
        if batch is None or batch.failed:
            # an error is met by those who waited for the answer; who comes later is asked for anew, with all the others
            others = [other for other, found in self._batches.items() if found is batch]
            batch = _Batch([name, *others])
            self._batches |= dict.fromkeys(others, batch)
            await self._ask(batch)
        try:
            return await batch.answer
        except PermanentError:
            if len(batch.names) == 1:
                raise
            return await self._users_of(name)  # Clerk refuses one of them, and does not say which: each alone
        except CampaignError:
            batch.failed = True
            raise

    def _own_addresses(self, user: ClerkUser) -> set[str]:
        """Return the addresses that are known to be the user's own: whoever adds a stranger's does not own it."""
        return _normalised(user.addresses if self._any_address else user.verified)

    def _name(self, recipient: Recipient) -> str:
        return recipient.email.lower() if self._by_address else recipient.user_id or ""

    async def _ask(self, batch: _Batch) -> None:
        self._answered = False
        try:
            await self._limiter.acquire_or_defer("Clerk", Scope.CLERK)
            users = self._clerk.users_by_address if self._by_address else self._clerk.users_by_id
            batch.answer.set_result(await users(batch.names))
            self._answered = True
        except CampaignError as error:
            batch.answer.set_exception(error)
            batch.answer.exception()  # whoever asks meets it; nobody may ask
        except BaseException:
            batch.answer.cancel()
            raise


def _normalised(addresses: Iterable[str]) -> set[str]:
    """Return Clerk's addresses as a CSV's are kept: IDN domains in A-labels, lower case."""
    found = set()
    for address in addresses:
        try:
            found.add(normalise_address(address).lower())
        except ValueError:
            found.add(address)
    return found
