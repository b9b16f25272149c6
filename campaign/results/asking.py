"""Ask Clerk who of the mailed and of those held out signed in since, and write it to the send log: `ask_clerk`.

Clerk is only read: `GET /v1/users` says when a user signed in last. It has no call that says whether a sign-in token
was used; the answer to a revocation does, and the run that revokes a link writes it to the log.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from campaign.clerk.client import Clerk
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.delivery.services import open_services
from campaign.delivery.user_directory import USERS_PER_CALL, UserDirectory
from campaign.errors import PermanentError, SettingsError, TransientError
from campaign.model import Rate, Recipient, Status
from campaign.sendlog.queue_reading import QueueReader
from campaign.sendlog.sign_ins import SignInLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.clock import Clock
    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.services import Services
    from campaign.model import ClerkUser
    from campaign.sendlog.sign_ins import PersonToAsk

#: The inquiry takes this part of Clerk's rate, since a run beside it has the same key.
_SHARE_OF_RATE = 5
#: How many recipients are read from the log at once; a user with several of them is asked for once.
_PAGE = 1000


async def ask_clerk(definition: Definition, settings: Settings, *, sandbox: bool) -> int:
    """Ask Clerk when those who were mailed or held out signed in last, and write it to the send log.

    Who is known to have signed in since the last mail is not asked for again. A run may go on meanwhile.

    Args:
        definition: the campaign file.
        settings: the environment.
        sandbox: use the sandbox, whatever the settings are.

    Returns:
        How many recipients were asked for.

    Raises:
        SettingsError: there is no key for Clerk.
        SendLogUnusableError: there is no log, or it does not contain the campaign.
        SendLogError: the log cannot be written.
        ServiceRefusesError: Clerk refuses us.
        TransientError: Clerk did not answer, in all attempts of the campaign file; what it said before is written.
    """
    async with open_services(definition, settings, sandbox=sandbox) as services:
        if services.clerk_key is None:
            raise SettingsError("CLERK_SECRET_KEY is not set, and Clerk is to be asked who signed in; set it.")
        clock, asked = services.clock, 0
        with SignInLog(services.log, definition.name, clock) as log:
            began = clock.now()
            async with Clerk(services.clerk_url, services.clerk_key) as clerk:
                inquiry = _Inquiry(clerk, definition, clock, _limiter(definition, services))
                page, last = log.people_to_ask("", limit=_PAGE)
                while last is not None:
                    for is_held_out in (False, True):
                        chosen = [person for person in page if person.is_held_out is is_held_out]
                        names = _by_name(chosen, with_address=is_held_out)
                        for start in range(0, len(names), USERS_PER_CALL):
                            some = names[start : start + USERS_PER_CALL]
                            log.note(*await inquiry.ask(some, as_the_run_would=is_held_out))
                    asked += len(page)
                    page, last = log.people_to_ask(last, limit=_PAGE)
            log.note_inquiry(began)
        return asked


class _Inquiry:
    """Asks for users, again after a temporary fault."""

    def __init__(self, clerk: Clerk, definition: Definition, clock: Clock, limiter: RateLimiter) -> None:
        self._clerk = clerk
        self._recipients = definition.recipients
        self._clock = clock
        self._limiter = limiter
        self._policy = RetryPolicy(definition.retry.attempts, definition.retry.first_delay)

    async def ask(
        self, names: Sequence[Sequence[PersonToAsk]], *, as_the_run_would: bool
    ) -> tuple[list[tuple[PersonToAsk, float | None]], list[PersonToAsk]]:
        """Return when each signed in last, and of whom there is no user.

        Args:
            names: at most 100 users, each with the recipients that it has.
            as_the_run_would: take only users whom the campaign would mail: known, not banned, the address their own.
        """
        answers: list[tuple[PersonToAsk, float | None]] = []
        strangers: list[PersonToAsk] = []
        backoff, faults = Backoff(self._policy), 0
        left = list(names)
        while left:
            try:
                await self._ask(left, answers, strangers, as_the_run_would=as_the_run_would)
            except TransientError as error:
                faults += 1
                if faults >= self._policy.attempts:
                    raise
                await self._clock.sleep(backoff.failed(error.wait))
        return answers, strangers

    async def _ask(
        self,
        left: list[Sequence[PersonToAsk]],
        answers: list[tuple[PersonToAsk, float | None]],
        strangers: list[PersonToAsk],
        *,
        as_the_run_would: bool,
    ) -> None:
        """Move those of whom Clerk answers from `left` to the other lists."""
        by_address = left[0][0].user_id is None
        users = UserDirectory(
            self._clerk,
            self._limiter,
            by_address=by_address,
            verify=self._recipients.verify_address if as_the_run_would else ("any" if by_address else False),
            clock=self._clock,
        )
        same = [people for people in left if (people[0].user_id is None) is by_address]
        await users.fetch(_recipient(people[0]) for people in same)
        for people in same:
            user: ClerkUser | None = None
            try:
                user = await users.find(_recipient(people[0]))
                # the user of an entry of the waitlist is made just before its mail
                is_stranger = user is None and not (as_the_run_would and self._recipients.create_users)
            except PermanentError:
                is_stranger = True
            left.remove(people)
            if is_stranger:
                strangers += people
            else:
                answers += [(person, user.last_sign_in_at if user else None) for person in people]


def _by_name(people: Sequence[PersonToAsk], *, with_address: bool) -> list[list[PersonToAsk]]:
    """Return the recipients of each user, so that each is asked for once; `with_address`: of each user and address."""
    found: dict[tuple[str | None, str], list[PersonToAsk]] = {}
    for person in people:
        address = person.email.lower() if with_address or person.user_id is None else ""
        found.setdefault((person.user_id, address), []).append(person)
    return list(found.values())


def _recipient(person: PersonToAsk) -> Recipient:
    return Recipient(person.key, person.email, person.user_id, {}, 0)


def _limiter(definition: Definition, services: Services) -> RateLimiter:
    """Return the limiter of the inquiry: a part of Clerk's rate, less what runs spent of it lately."""
    rates = services.clerk_rates if definition.limits.tokens is None else definition.limits.tokens
    lower = tuple(Rate(max(1, rate.count // _SHARE_OF_RATE), rate.period) for rate in rates)
    with closing(QueueReader(services.log)) as reader:
        spent = reader.spent(Status.ISSUING, lower, now=services.clock.now())
    return RateLimiter(lower, services.clock, spent)
