"""One recipient's path from the queue to a settled state, and many of them at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.delivery.circuit_breaker import AbortRun, BlockDomain, CircuitBreaker, PauseDomain
from campaign.delivery.retry import Backoff, outcome_of
from campaign.delivery.scheduler import domain_of
from campaign.delivery.tokens import must_be_for
from campaign.errors import (
    CampaignError,
    DeliveryError,
    PermanentError,
    Scope,
    SendLogError,
    ServiceRefusesError,
    TemplateError,
    TransientError,
)
from campaign.message.message_id import message_id
from campaign.model import Outcome, Status
from campaign.smtp import Envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.clock import Clock
    from campaign.delivery.concurrency import Concurrency
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.delivery.retry import RetryPolicy
    from campaign.delivery.revoker import TokenRevoker
    from campaign.delivery.scheduler import Scheduler
    from campaign.delivery.tokens import Tokens
    from campaign.message import MessageTemplate
    from campaign.message.dkim.signer import Signer
    from campaign.model import Delivery, SignInToken
    from campaign.sendlog import SendLog
    from campaign.smtp import Pool


class Pipeline:
    """A run: takes recipients from the feed until there are none, each along `_deliver`.

    Args:
        log: the send log, entered.
        feed: the queue's due rows, in order.
        concurrency: learns how long a token takes.
        template: the compiled message.
        signer: None: the mails are not signed here.
        pool: the mail server's connections, entered.
        pacer: the mail server's rate.
        tokens: None for a campaign without a link.
        policy: whether and when to try again.
        sender: the envelope's sender.
        server: the mail server's name, for the log.
        on_settled: told each outcome, for the progress.
        on_notice: told what a person should know at once.
    """

    def __init__(
        self,
        *,
        log: SendLog,
        feed: Scheduler,
        concurrency: Concurrency,
        template: MessageTemplate,
        signer: Signer | None,
        pool: Pool,
        pacer: RateLimiter,
        tokens: Tokens | None,
        policy: RetryPolicy,
        clock: Clock,
        sender: str,
        server: str,
        on_settled: Callable[[Delivery, Outcome], None],
        on_notice: Callable[[str], None],
    ) -> None:
        self._log = log
        self._feed = feed
        self._concurrency = concurrency
        self._template = template
        self._signer = signer
        self._pool = pool
        self._pacer = pacer
        self._tokens = tokens
        self._policy = policy
        self._clock = clock
        self._sender = sender
        self._server = server
        self._on_settled = on_settled
        self._on_notice = on_notice
        self._turn_of_the_server = partial(pacer.acquire_or_defer, "the mail server", Scope.SERVER)
        self._server_backoff = Backoff(policy)
        self._clerk_backoff = Backoff(policy)
        self._blame = CircuitBreaker(policy)
        self._refusal: CampaignError | None = None
        self._stopping = False
        self._over = asyncio.Event()
        self._to_revoke = asyncio.Event()
        #: How many recipients came to each state in this run; `queued` counts the tries that were put off.
        self.tally: Counter[Status] = Counter()

    # -- one recipient's path ------------------------------------------------------------------------------------

    async def _deliver(self, delivery: Delivery) -> None:
        """Take one recipient from the queue to a settled state."""
        token: SignInToken | None = None
        try:
            self._feed.raise_if_paused(delivery)
            if self._tokens:
                user_id = await self._tokens.user_id_of(delivery.recipient)
                async with self._tokens.room:
                    turn = await self._tokens.pacer.acquire_or_defer("Clerk", Scope.CLERK)
                    self._must_go_on()
                    delivery = await self._log.issuing(delivery, user_id=user_id, expires_in=self._tokens.expires_in)
                    turn.used()
                    asked_at = self._clock.now()
                    token = await self._tokens.clerk.create_sign_in_token(user_id, expires_in=self._tokens.expires_in)
                self._concurrency.token.note(self._clock.now() - asked_at)
                self._clerk_backoff.succeeded()
                await self._log.issued(delivery, token)
                must_be_for(user_id, token)
            name = message_id(self._log.message_key, delivery.recipient.key, delivery.generation, sender=self._sender)
            data = self._compose(delivery, name, token)
            if self._signer:
                data = await self._signer.sign(data)
            envelope = Envelope(self._sender, delivery.recipient.email, len(data), self._eight_bit)
            intent = partial(self._intend, delivery, name, asked_at if token else None)
            await self._feed.wait_until_due(delivery)
            receipt = await self._pool.send(envelope, data, intent)
            self._server_backoff.succeeded()
            self._blame.accepted(domain_of(delivery.recipient))
            outcome = Outcome(Status.SENT, reply=receipt)
        except DeliveryError as error:
            outcome = self._outcome_of(error, delivery, by_clerk=bool(self._tokens) and token is None)
        except SendLogError:
            raise
        except CampaignError as error:
            self._refuse(error)
            outcome = Outcome(Status.QUEUED, f"the run was stopped: {error}")
        in_a_message = outcome.status in {Status.SENT, Status.UNCERTAIN}
        # no `await` since the pool released the connection: the log writes this before the connection's next intent
        await self._log.settle(delivery, outcome, revoke=None if in_a_message else token)
        if token and not in_a_message:
            self._to_revoke.set()
        self.tally[outcome.status] += 1
        self._feed.settled(delivery, outcome)
        self._on_settled(delivery, outcome)

    async def _intend(self, delivery: Delivery, name: str, asked_at: float | None) -> None:
        """Wait for the message's turn and return when the intent is durable.

        The message is written but for the final dot. The turn is taken this late so that a run that was stopped for a
        while lets no burst go when it wakes.
        """
        turn = await self._feed.turn(delivery, self._turn_of_the_server)
        if asked_at is not None and self._tokens:
            self._tokens.must_be_fresh(self._clock.now() - asked_at)
        await self._log.sending(delivery, message_id=name, server=self._server, with_token=asked_at is not None)
        turn.used()

    def _must_go_on(self) -> None:
        if self._refusal:
            raise self._refusal

    @property
    def _eight_bit(self) -> bool:
        # RFC 6376 §5.3: what is signed is in 7-bit, since a relay that made it so would break the signature
        return self._pool.eight_bit and self._signer is None

    def _compose(self, delivery: Delivery, name: str, token: SignInToken | None) -> bytes:
        try:
            return self._template.compose(
                delivery.recipient.variables,
                email=delivery.recipient.email,
                message_id=name,
                date=instant(self._clock.now() // 1),
                token=token.token if token else None,
                eight_bit=self._eight_bit,
            ).data
        except TemplateError as error:
            raise PermanentError(f"line {delivery.recipient.line}: {error}") from None

    def _outcome_of(self, error: DeliveryError, delivery: Delivery, *, by_clerk: bool) -> Outcome:
        """Return what a fault means for the recipient, and let the service that it is about have its rest."""
        domain = domain_of(delivery.recipient)
        held = self._feed.paused_until(domain) > self._clock.now()
        match None if by_clerk else self._blame.refused(domain, error, held=held):
            case PauseDomain(domain=domain, seconds=seconds):
                self._feed.pause_domain(domain, seconds)
                self._on_notice(f"{domain} defers one message after the other and is left alone for {seconds:.0f} s")
            case BlockDomain(domain=domain, reason=reason):
                self._feed.pause_domain(domain, float("inf"))
                self._on_notice(f"{reason}. Nothing more goes to {domain} in this run; who is left stays queued")
            case AbortRun(reason=reason):
                self._refuse(ServiceRefusesError(f"{reason}. Nothing more is sent; who is left stays queued"))
        paused_until = self._feed.paused_until(domain)
        if isinstance(error, TransientError):
            if error.scope is Scope.SERVER:
                paused_until = self._server_backoff.rest(self._pacer, error)
            elif error.scope is Scope.CLERK and self._tokens:
                paused_until = self._clerk_backoff.rest(self._tokens.pacer, error)
        return outcome_of(error, delivery, self._policy, now=self._clock.now(), paused_until=paused_until)

    # -- many of them --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until nothing is due any more, nothing is left, or `stop` was called; then settle the revocations.

        Raises:
            ServiceRefusesError: a service refuses us; what was in hand is settled.
            SendLogError: the log can no longer be written; everything stopped at once.
        """
        async with asyncio.TaskGroup() as services:
            if self._tokens:
                services.create_task(self._revoke(self._tokens.revoker))
            await self._connect()
            async with asyncio.TaskGroup() as recipients:
                while not self._stopping:
                    delivery = await self._feed.next(recipients)
                    if delivery is None:
                        break
                    recipients.create_task(self._deliver(delivery))
            self._over.set()
            self._to_revoke.set()
        if self._refusal:
            raise self._refusal

    def stop(self) -> None:
        """Claim nothing more; what is in hand is finished."""
        self._stopping = True
        self._feed.stop()

    async def _connect(self) -> None:
        """Log in once before a token is asked for."""
        while not self._stopping:
            try:
                await self._pool.prove()
            except TransientError as error:
                paused_until = self._server_backoff.rest(self._pacer, error)
                await self._feed.pause(error.reason, paused_until)
            except CampaignError as error:
                self._refuse(error)
            else:
                self._server_backoff.succeeded()
                return

    async def _revoke(self, revoker: TokenRevoker) -> None:
        """Settle revocations as they come, and at the end as far as Clerk answers."""
        while True:
            over = self._over.is_set()
            self._to_revoke.clear()
            try:
                wait = await revoker.settle_all()
            except SendLogError:
                raise
            except CampaignError as error:
                self._refuse(error)
                return
            if over:
                return
            if wait is None:
                await self._to_revoke.wait()
            else:
                await self._clock.wait(self._over, wait)

    def _refuse(self, error: CampaignError) -> None:
        """Stop because a service refuses us: no further token is asked for, and no recipient is to blame."""
        self._refusal = self._refusal or error
        self.stop()
