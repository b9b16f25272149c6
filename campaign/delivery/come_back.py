"""Find out whether a recipient came back since the step before, `ComeBack.raise_if_back`: used its link, or was active.

Before a step's token is asked for, the link of the step before is revoked. So a person has one live link, and Clerk's
answer says whether the old one was used.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from campaign.delivery.token_issuer import MAX_SHARE_OF_LIFE_SPENT
from campaign.errors import PermanentError
from campaign.model import Revocation, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from campaign.clock import Clock
    from campaign.delivery.attempt import Attempt
    from campaign.delivery.revoker import TokenRevoker
    from campaign.delivery.user_directory import UserDirectory
    from campaign.model import ClerkUser, EarlierStep
    from campaign.sendlog import RunLog

LINK_USED, ACTIVE = "link used", "active"
ACTIVE_SINCE = "active since step"


class ComeBack:
    """Asks Clerk about the links and the activity of recipients to whom an earlier step was sent.

    Args:
        log: journals each revocation before Clerk is asked for it.
        revoker: revokes; it must be running.
        users: the users' activity.
        lifetimes: how long a token lives, by the step in whose mail it is.
        clock: the time.
    """

    def __init__(
        self,
        log: RunLog,
        revoker: TokenRevoker,
        users: UserDirectory,
        *,
        lifetimes: Mapping[str, timedelta],
        clock: Clock,
    ) -> None:
        self._log = log
        self._revoker = revoker
        #: Asked for the users of later steps ahead of their turn.
        self.users = users
        self._lifetimes = lifetimes
        self._clock = clock

    async def raise_if_back(self, attempt: Attempt, earlier: Sequence[EarlierStep], unless: Collection[str]) -> None:
        """Raise PermanentError if the recipient came back; the error ends the sequence.

        Args:
            attempt: of a later step.
            earlier: the steps before it, in their order.
            unless: which signs count: `link used`, `active`.

        Raises:
            PermanentError: the recipient came back, or has no user at Clerk to whom a link may be sent.
            TransientError, ServiceRefusesError: Clerk did not answer; nothing is known.
        """
        if not unless:
            return
        # before anything is revoked: who cannot get a new link keeps the old one
        recipient = attempt.delivery.recipient
        user = await self.users.find(recipient, lately=True)
        if user is None:
            if self.users.makes_users and not any(step.token_id for step in earlier):
                return  # no step before had a link, so the user is made for this one
            raise self.users.missing(recipient)
        attempt.user_id = user.id
        if LINK_USED in unless:
            for step in earlier:
                if step.token_id and await self._was_used(attempt, step, user):
                    raise PermanentError(LINK_USED, skip=True, ends_sequence=True)
        before = next((step for step in reversed(earlier) if step.status is Status.SENT and step.sent_at), None)
        if ACTIVE in unless and before and _last_seen(user) > (before.sent_at or 0.0):
            raise PermanentError(f"{ACTIVE_SINCE} {before.step}", skip=True, ends_sequence=True)

    async def _was_used(self, attempt: Attempt, step: EarlierStep, user: ClerkUser) -> bool:
        """Revoke the token of an earlier step; return whether it was used to sign in."""
        assert step.token_id is not None  # noqa: S101 - the caller has looked
        answer = await self._log.ask_revocation(attempt.delivery, step.token_id)
        if answer is None:
            answer = await self._revoker.revoke(step.token_id)
        if answer != Revocation.USED:
            return False
        # Clerk's 400 says "not pending". Clerk does not say how it names a token past its end. So once the token may
        # have ended, only a sign-in since the step bears it out.
        lifetime = self._lifetimes.get(step.step, timedelta()).total_seconds()
        begun = step.sent_at or 0.0
        if self._clock.now() < begun + lifetime * (1 - MAX_SHARE_OF_LIFE_SPENT):
            return True
        return user.last_sign_in_at is not None and user.last_sign_in_at > begun


def _last_seen(user: ClerkUser) -> float:
    """Return when a user was last seen at Clerk (seconds since the epoch).

    Clerk gives `last_active_at` to the day, so activity within the day of a step shows only as a sign-in.
    """
    return max(user.last_sign_in_at or 0.0, user.last_active_at or 0.0)
