"""Deliver to many recipients at once: `Pipeline.run` starts one task, `Pipeline._deliver`, for each claimed row."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from campaign.delivery.attempt import Attempt
from campaign.errors import CampaignError, ClaimLostError, DeliveryError, SendLogError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.delivery.composer import Composer
    from campaign.delivery.failures import Failures
    from campaign.delivery.scheduler import Scheduler
    from campaign.delivery.token_issuer import TokenIssuer
    from campaign.model import Delivery, Outcome, Status
    from campaign.sendlog import RunLog
    from campaign.smtp import Pool


class Pipeline:
    """Takes deliveries from the scheduler until there are none, and runs `_deliver` for each.

    The send log is the queue, and each delivery is one task from its claim to its outcome. There are no stages with
    queues between them. So after a crash the log shows how far each row came, and while a service is paused, rows
    wait in the log, before a token is issued for them.

    Args:
        log: the send log, already entered (`async with`).
        scheduler: picks the next due row, within the concurrency limit, the rate limits and domain pauses.
        tokens: issues the sign-in tokens; None for a campaign without a link.
        composer: composes the message.
        pool: the connections to the mail server, already entered.
        failures: decides what an error means.
        server: the mail server's name, for the log.
        on_settled: called with each outcome, for the progress.
    """

    def __init__(
        self,
        log: RunLog,
        scheduler: Scheduler,
        *,
        tokens: TokenIssuer | None,
        composer: Composer,
        pool: Pool,
        failures: Failures,
        server: str,
        on_settled: Callable[[Delivery, Outcome], None],
    ) -> None:
        self._log = log
        self._scheduler = scheduler
        self._gate = scheduler.gate
        self._tokens = tokens
        self._composer = composer
        self._pool = pool
        self._failures = failures
        self._server = server
        self._on_settled = on_settled
        self._stopping = False
        #: The first connection to the mail server is being opened.
        self.is_connecting = False
        #: How many attempts have begun and not ended.
        self.under_way = 0
        #: How many attempts of this run ended in each state; `queued` counts those that will be tried again.
        self.tally: Counter[Status] = Counter()

    # -- one recipient's path ------------------------------------------------------------------------------------

    async def _deliver(self, attempt: Attempt) -> None:
        """Make one attempt: judge whether it is its time, issue the token, compose and send, and record the outcome.

        Raises:
            ClaimLostError: another run has the row; nothing more is done about it.
        """
        delivery = attempt.delivery
        try:
            self._scheduler.raise_if_paused(delivery)
            if self._gate:
                await self._gate.require(attempt)
            self._composer.require_files(attempt)
            if self._tokens and self._tokens.link_of(attempt.delivery):
                await self._tokens.issue(attempt, raise_if_aborted=self._failures.raise_if_aborted)
                self._failures.token_issued(attempt)
            envelope, message = await self._composer.compose(attempt, self._pool.features)
            await self._scheduler.wait_until_due(delivery)
            receipt = await self._pool.send(envelope, message, partial(self._commit_intent, attempt))
            outcome = self._failures.accepted(attempt, receipt)
        except DeliveryError as error:
            by_clerk = self._tokens is not None and not attempt.message_id
            outcome = self._failures.handle(error, attempt, by_clerk=by_clerk)
        except (SendLogError, ClaimLostError):
            raise
        except CampaignError as error:
            outcome = self._failures.abort(error)
        unused = attempt.unused_token(outcome)
        # no `await` between the pool's release of the connection and here: the log writes this outcome before the
        # intent of the next message on the same connection
        await self._log.settle(attempt.delivery, outcome, revoke=unused)
        if blameless := self._failures.take_blameless():
            await self._log.put_back(blameless)
        if unused and self._tokens:
            self._tokens.revoker.wake()
        self.tally[outcome.status] += 1
        self._scheduler.settled(attempt.delivery, outcome)
        self._on_settled(attempt.delivery, outcome)

    async def _commit_intent(self, attempt: Attempt) -> None:
        """Wait for the message's permit, and return when the intent to send it is durable.

        The pool calls this when only the final dot is left to send. The permit is acquired this late so that a
        process that was suspended sends no burst when it continues. If the server refused the message for the sake of
        the connection, the pool calls it again: the row stays `sending`, and only the permit is new.
        """
        permit = await self._scheduler.acquire(attempt.delivery)
        if self._tokens:
            self._tokens.raise_if_stale(attempt)
        if self._gate:
            self._gate.raise_if_not_now(attempt)
        if attempt.intended:
            await self._log.still_sending(attempt.delivery)
        else:
            await self._log.sending(
                attempt.delivery,
                message_id=attempt.message_id,
                server=self._server,
                with_token=attempt.token is not None,
            )
            attempt.intended = True
            if self._gate:
                self._gate.intended()
        # A slow commit, or a suspended process, can make the permit too old: other runs count it as unused by then. The
        # message needs another permit, and the lease is checked again.
        while not await permit.used():
            permit = await self._scheduler.acquire(attempt.delivery)
            await self._log.still_sending(attempt.delivery)
        self._scheduler.concurrency.intent.note(permit.age)

    async def _deliver_unless_lost(self, delivery: Delivery) -> None:
        """Make one attempt; end it where another run has taken the row over, because it had not heard of this one."""
        attempt = Attempt(delivery)
        self.under_way += 1
        try:
            await self._deliver(attempt)
        except ClaimLostError:
            if attempt.token and not attempt.intended:  # it is in no mail
                await self._log.revoke_unused(attempt.delivery, attempt.token)
                if self._tokens:
                    self._tokens.revoker.wake()
            self._scheduler.settled(attempt.delivery, None)
        finally:
            self.under_way -= 1

    # -- many of them --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver until the scheduler has no more rows or `stop` is called; then settle the revocations.

        Raises:
            ServiceRefusesError: a service refuses all requests; all attempts under way were settled first.
            SendLogError: the log can no longer be written; all tasks were cancelled at once.
        """
        async with asyncio.TaskGroup() as services:
            if self._tokens:
                services.create_task(self._revoke(self._tokens))
            await self._connect()
            async with asyncio.TaskGroup() as deliveries:
                while not self._stopping:
                    delivery = await self._scheduler.next(deliveries)
                    if delivery is None:
                        break
                    deliveries.create_task(self._deliver_unless_lost(delivery))
            if self._tokens:
                self._tokens.revoker.finish()
        self._failures.raise_if_aborted()

    def stop(self) -> None:
        """Claim no more rows; the attempts under way continue to their end."""
        self._stopping = True
        self._scheduler.stop()

    async def _connect(self) -> None:
        """Open and authenticate the first connection before any token is issued."""
        while not self._stopping and not self._failures.abort_reason:
            try:
                await self._warm_up()
            except TransientError as error:
                until = self._failures.pause_server(error)
                await self._scheduler.pause(error.reason, until)
                if self._scheduler.stopped and not self._stopping:
                    self._failures.notice(f"{error.reason}. Nothing was sent, and the run ends because of --no-wait")
                    self._stopping = True
            except CampaignError as error:
                self._failures.abort(error)
            else:
                self._failures.connected()
                return

    async def _warm_up(self) -> None:
        self.is_connecting = True
        try:
            await self._pool.warm_up()
        finally:
            self.is_connecting = False

    async def _revoke(self, tokens: TokenIssuer) -> None:
        """Settle revocations while the run goes on; abort the run if Clerk refuses the key."""
        try:
            await tokens.revoker.run()
        except SendLogError:
            raise
        except CampaignError as error:
            self._failures.abort(error)
