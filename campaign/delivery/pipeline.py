"""One recipient's path from the queue to a settled state, `Pipeline._deliver`, and many of them at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from campaign.delivery.attempt import Attempt
from campaign.errors import CampaignError, DeliveryError, SendLogError, TransientError

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
    """A run: takes deliveries from the scheduler until there are none, each along `_deliver`.

    The send log is the queue, and each delivery is one task from its claim to its outcome. There are no stages with
    queues between them: a crash finds every row in the log as far as it came, and a pause of a service holds rows
    where no token has been issued yet.

    Args:
        log: the send log, entered.
        scheduler: picks the next due row, within the concurrency limit, the rate limits and domain pauses.
        tokens: issues the sign-in tokens; None for a campaign without a link.
        composer: makes the message.
        pool: the mail server's connections, entered.
        failures: decides what a fault means.
        server: the mail server's name, for the log.
        on_settled: told each outcome, for the progress.
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
        self._tokens = tokens
        self._composer = composer
        self._pool = pool
        self._failures = failures
        self._server = server
        self._on_settled = on_settled
        self._stopping = False
        #: How many recipients came to each state in this run; `queued` counts the attempts that were put off.
        self.tally: Counter[Status] = Counter()

    # -- one recipient's path ------------------------------------------------------------------------------------

    async def _deliver(self, delivery: Delivery) -> None:
        """Take one recipient from the queue to a settled state."""
        attempt = Attempt(delivery)
        try:
            self._scheduler.raise_if_paused(delivery)
            if self._tokens:
                await self._tokens.issue(attempt, raise_if_aborted=self._failures.raise_if_aborted)
                self._failures.token_issued()
            envelope, message = await self._composer.compose(attempt, eight_bit=self._pool.eight_bit)
            await self._scheduler.wait_until_due(delivery)
            receipt = await self._pool.send(envelope, message, partial(self._commit_intent, attempt))
            outcome = self._failures.accepted(attempt, receipt)
        except DeliveryError as error:
            by_clerk = self._tokens is not None and attempt.token is None
            outcome = self._failures.handle(error, attempt, by_clerk=by_clerk)
        except SendLogError:
            raise
        except CampaignError as error:
            outcome = self._failures.abort(error)
        unused = attempt.unused_token(outcome)
        # no `await` since the pool released the connection: the log writes this before the connection's next intent
        await self._log.settle(attempt.delivery, outcome, revoke=unused)
        if unused and self._tokens:
            self._tokens.revoker.wake()
        self.tally[outcome.status] += 1
        self._scheduler.settled(attempt.delivery, outcome)
        self._on_settled(attempt.delivery, outcome)

    async def _commit_intent(self, attempt: Attempt) -> None:
        """Wait for the message's permit and return when the intent to send it is durable.

        The message is written but for the final dot. The permit is taken this late so that a run that was stopped for
        a while sends no burst when it goes on.
        """
        permit = await self._scheduler.acquire(attempt.delivery)
        if self._tokens:
            self._tokens.raise_if_stale(attempt)
        await self._log.sending(
            attempt.delivery,
            message_id=attempt.message_id,
            server=self._server,
            with_token=attempt.token is not None,
        )
        permit.used()

    # -- many of them --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until nothing is due any more, nothing is left, or `stop` was called; then settle the revocations.

        Raises:
            ServiceRefusesError: a service refuses us; every attempt that was under way is settled.
            SendLogError: the log can no longer be written; everything stopped at once.
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
                    deliveries.create_task(self._deliver(delivery))
            if self._tokens:
                self._tokens.revoker.finish()
        self._failures.raise_if_aborted()

    def stop(self) -> None:
        """Claim nothing more; the attempts under way are finished."""
        self._stopping = True
        self._scheduler.stop()

    async def _connect(self) -> None:
        """Log in once before a token is asked for."""
        while not self._stopping and not self._failures.abort_reason:
            try:
                await self._pool.warm_up()
            except TransientError as error:
                await self._scheduler.pause(error.reason, self._failures.pause_server(error))
                if self._scheduler.stopped and not self._stopping:
                    self._failures.notice(f"{error.reason}. Nothing was sent, and the run ends because of --no-wait")
                    self._stopping = True
            except CampaignError as error:
                self._failures.abort(error)
            else:
                self._failures.connected()
                return

    async def _revoke(self, tokens: TokenIssuer) -> None:
        """Settle revocations as they come."""
        try:
            await tokens.revoker.run()
        except SendLogError:
            raise
        except CampaignError as error:
            self._failures.abort(error)
