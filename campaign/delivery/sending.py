"""Send the due rows of one campaign: `open_sending` puts the parts together, `Sending.run` runs them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.delivery.composer import Composer, Identity
from campaign.delivery.concurrency import Concurrency
from campaign.delivery.current_wait import CurrentWait
from campaign.delivery.failures import Failures
from campaign.delivery.gate import GateParts, open_gate, ramp_of
from campaign.delivery.pipeline import Pipeline
from campaign.delivery.retry import RetryPolicy
from campaign.delivery.scheduler import Scheduler
from campaign.delivery.services import needs_clerk
from campaign.delivery.worker_rates import Listener
from campaign.message.unsubscribe import UnsubscribeLink

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterator, Callable

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.observer import Observer
    from campaign.delivery.outbound import Outbound
    from campaign.delivery.patience import Patience
    from campaign.delivery.ramp import Ramp
    from campaign.delivery.rate_limits import RateLimits
    from campaign.delivery.services import Services
    from campaign.message.dkim.signer import Signer
    from campaign.message.variants import CampaignMessages
    from campaign.model import Status
    from campaign.sendlog import SendLog

#: A sending that was stopped looks this often whether the log's server is away (seconds).
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class SendingParts:
    """What a campaign is sent with."""

    definition: Definition
    messages: CampaignMessages
    services: Services
    settings: Settings
    observer: Observer
    #: Adds the DKIM signature; None leaves messages unsigned.
    signer: Signer | None
    #: Connections and limits, which campaigns side by side share.
    outbound: Outbound
    #: Stay for rows that become due within this many seconds; 0 is `--no-wait`.
    longest_wait: float
    #: How long to wait for a service before anything was sent.
    patience: Patience
    #: Called for each token that Clerk issued.
    on_token: Callable[[], None] = lambda: None


class Sending:
    """The sending of a campaign's due rows; `stop` ends it after the deliveries under way.

    Args:
        log: the send log, entered.
        pipeline: delivers to many recipients at once.
        waiting: knows what is waited for at present.
        limits: the rate limiters, which know the last fault of each service.
        ramp: the campaign's daily quotas; None without them.
        parts: the observer, and the mail server's name.
    """

    def __init__(
        self,
        log: SendLog,
        pipeline: Pipeline,
        waiting: CurrentWait,
        *,
        limits: RateLimits,
        ramp: Ramp | None,
        parts: SendingParts,
    ) -> None:
        self._log = log
        self._pipeline = pipeline
        self._waiting = waiting
        self._limits = limits
        self._ramp = ramp
        self._observer = parts.observer
        self._server = parts.services.smtp.label
        self._has_ended = False

    @property
    def tally(self) -> Counter[Status]:
        """How many attempts ended in each state; `queued` counts those that will be tried again."""
        return self._pipeline.tally

    @property
    def quota_until(self) -> float | None:
        """Until when the day's quota is spent (seconds since the epoch); None if it is not."""
        return self._ramp.ends_at if self._ramp and self._ramp.is_spent() else None

    @property
    def waited_for(self) -> str:
        """What was waited for when it ended; empty if it did not wait."""
        return self._waiting.stopped_in or self._limits.paused_why

    async def run(self) -> None:
        """Deliver until no row is due soon or `stop` is called; then settle the revocations.

        Raises:
            ServiceRefusesError: a service refuses all requests; all attempts under way were settled first.
            SendLogError: the log can no longer be written; all tasks were cancelled at once.
        """
        try:
            await self._log.note_quota("", 0.0)
            await self._pipeline.run()
            if self._ramp and (until := self.quota_until):
                await self._log.note_quota(self._ramp.why, until)
        finally:
            self._has_ended = True

    def stop(self, *, may_end: Callable[[], bool], end: Callable[[], object]) -> None:
        """Claim no more rows, since a signal came; tell the observer, also what was waited for.

        Args:
            may_end: asked whether this sending may end without its log, whose server is away: it has nothing in hand.
            end: called if so, now or as soon as the server is away.
        """
        connecting = f"the mail server {self._server} has not answered yet" if self._pipeline.is_connecting else ""
        self._pipeline.stop()
        self._log.drain()
        if not self._log.is_away:
            self._waiting.stop(connecting)
            self._observer.stopping()
        elif number := self._pipeline.under_way:
            messages = "1 message is" if number == 1 else f"{number:,} messages are"
            self._observer.notice(
                f"Stopping: {messages} in progress. PostgreSQL at {self._log.database.place} is away; the outcome is "
                "written when it is back. Press Ctrl-C again to stop at once: what may be out then becomes uncertain"
            )
        self._end_without_log(may_end, end)

    def _end_without_log(self, may_end: Callable[[], bool], end: Callable[[], object]) -> None:
        """End if the log's server is away and nothing is in hand; otherwise look again soon."""
        if self._has_ended:
            return
        if not self._log.is_away or self._pipeline.under_way or not may_end():
            asyncio.get_running_loop().call_later(_LOOK_S, self._end_without_log, may_end, end)
            return
        self._observer.notice(
            f"PostgreSQL at {self._log.database.place} is away, and no message is in progress: this command ends now. "
            "Type it again to go on"
        )
        self._log.abandon()
        end()

    @property
    def under_way(self) -> int:
        """How many attempts have begun and not ended."""
        return self._pipeline.under_way

    def pause(self) -> None:
        """Claim no more rows for now, without a word: what is under way continues to its end."""
        self._pipeline.stop()

    def tell_wait(self) -> None:
        """Tell the observer once what was waited for, if anything."""
        if why := self.waited_for:
            self._waiting.tell(why)


@asynccontextmanager
async def open_sending(parts: SendingParts, log: SendLog) -> AsyncIterator[Sending]:
    """Yield the sending of a campaign, with its connections to Clerk and to the site.

    Args:
        parts: what it is sent with.
        log: the send log, entered, in which the rows are enlisted.

    Raises:
        SettingsError: a recheck endpoint is to be asked, and CAMPAIGN_RECHECK_KEY is not set.
    """
    definition, services, outbound, observer = parts.definition, parts.services, parts.outbound, parts.observer
    clock, messages = services.clock, parts.messages
    policy = RetryPolicy(definition.retry.attempts, definition.retry.first_delay)
    limits = outbound.limits_for(definition)
    rates = [limiter.per_second for limiter in limits.services if limiter.per_second is not None]
    concurrency = Concurrency(
        rate=min(rates, default=None),
        connections=outbound.connections,
        with_token=needs_clerk(definition),
        transaction=outbound.latency,
    )
    gate_parts = GateParts(
        definition, messages, services, parts.settings, observer, clock, policy, limits.clerk, concurrency
    )
    waiting = CurrentWait(observer, clock)
    mailing_list = definition.mailing_list if UnsubscribeLink.of(definition) else None
    with ramp_of(definition, log, clock, beside=outbound.ramps, workers=limits.workers) as ramp:
        async with open_gate(gate_parts, log, ramp) as gate:
            scheduler = Scheduler(
                log,
                clock,
                concurrency,
                limits,
                gate=gate.eligibility,
                tokens=gate.tokens,
                longest_wait=parts.longest_wait,
                on_wait=waiting.began,
            )
            failures = Failures(
                policy,
                scheduler,
                limits,
                clock=clock,
                on_notice=observer.notice,
                patience=parts.patience,
                on_token=parts.on_token,
            )
            pipeline = Pipeline(
                log,
                scheduler,
                tokens=gate.tokens,
                composer=Composer(
                    messages, parts.signer, identity=Identity(mailing_list, log.message_key, log.tags), clock=clock
                ),
                pool=outbound.pool,
                failures=failures,
                server=services.smtp.label,
                on_settled=observer.settled,
            )
            listener = Listener(definition.name, failures.domain_paused_elsewhere, failures.aborted_elsewhere)
            with limits.workers.heard_by(listener) if limits.workers else nullcontext():
                yield Sending(log, pipeline, waiting, limits=limits, ramp=ramp, parts=parts)
