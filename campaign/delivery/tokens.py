"""What a campaign with a link needs besides: whom its tokens are for, who makes them, and how long they live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.errors import Scope, ServiceRefusesError, TransientError

if TYPE_CHECKING:
    from datetime import timedelta

    from campaign.clerk.client import Clerk
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.delivery.revoker import TokenRevoker
    from campaign.delivery.semaphore import ResizableSemaphore
    from campaign.delivery.user_directory import UserDirectory
    from campaign.model import Recipient, SignInToken

#: A token that has lost this share of its life while its message waited is not sent: the reader needs the rest.
_STALE = 0.25


@dataclass(frozen=True, slots=True)
class Tokens:
    """Clerk, as one run uses it."""

    clerk: Clerk
    #: As many calls at once as are of use. It is entered before it is put on record that a token is asked for, so that
    #: nothing stands between the record and the call.
    room: ResizableSemaphore
    pacer: RateLimiter
    revoker: TokenRevoker
    #: None: the CSV's ids are taken as they are (`verify_address = false`).
    directory: UserDirectory | None
    expires_in: timedelta

    async def user_id_of(self, recipient: Recipient) -> str:
        """Return the Clerk user whom a recipient's token is for.

        Raises:
            DeliveryError: see `UserDirectory.user_id_of`.
        """
        if self.directory is None:
            return recipient.user_id or ""
        return await self.directory.user_id_of(recipient)

    def must_be_fresh(self, age: float) -> None:
        """Raise TransientError for a token whose message waited too long: so many seconds."""
        if age > self.expires_in.total_seconds() * _STALE:
            raise TransientError("the token grew old while the message waited; it gets a new one", scope=Scope.NONE)


def must_be_for(user_id: str, token: SignInToken) -> None:
    """Raise ServiceRefusesError for a token that is not the user's."""
    if token.user_id != user_id:
        raise ServiceRefusesError(
            f"Clerk issued a token for {token.user_id} when one for {user_id} was asked for: ask its support. "
            "Nothing more is sent"
        )
