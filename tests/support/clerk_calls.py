"""Make one call to a scripted Clerk and return the result or the error: `ask`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from campaign.clerk.client import Clerk
from campaign.errors import CampaignError
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import ClerkScript
from support.servers.script import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from campaign.model import SignInToken
    from support.servers.script import Action

T = TypeVar("T")
KEY = "sk_test_" + "k" * 40
TWO_DAYS = timedelta(hours=48)


def ask(url: str, call: Callable[[Clerk], Awaitable[T]]) -> T | CampaignError:
    """Return the result of one call, or the error that it raised."""

    async def run() -> T:
        async with Clerk(url, KEY) as clerk:
            return await call(clerk)

    outcome: T | CampaignError
    try:
        outcome = asyncio.run(run())
    except CampaignError as error:
        outcome = error
    assert KEY not in repr(outcome)
    return outcome


def create(clerk: Clerk) -> Awaitable[SignInToken]:
    """Request a token for Ada."""
    return clerk.create_sign_in_token("user_ada", expires_in=TWO_DAYS)


#: One call of each kind.
CALLS: dict[str, Callable[[Clerk], Awaitable[object]]] = {
    "create": create,
    "users": lambda clerk: clerk.users_by_id(["user_ada"]),
    "revoke": lambda clerk: clerk.revoke_sign_in_token("sit_1"),
}


def faulty(at: str, action: Action) -> ClerkServer:
    """Return a server that answers every call at this stage with the action."""
    return ClerkServer(ClerkScript(faults=(Fault(at, action),)))
