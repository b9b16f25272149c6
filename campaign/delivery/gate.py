"""Build the gate of a run, and what issues its tokens, from the campaign file: `open_gate`."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from campaign.delivery.come_back import ComeBack
from campaign.delivery.eligibility import Eligibility, StepRules
from campaign.delivery.ramp import Ramp
from campaign.delivery.recheck import Recheck
from campaign.delivery.retry import Backoff
from campaign.delivery.revoker import TokenRevoker
from campaign.delivery.token_issuer import TokenIssuer
from campaign.delivery.user_directory import UserDirectory
from campaign.delivery.waitlist_users import WaitlistUsers
from campaign.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import timedelta

    from campaign.clock import Clock
    from campaign.config.definition import Definition, LinkSection
    from campaign.config.settings import Settings
    from campaign.delivery.concurrency import Concurrency
    from campaign.delivery.observer import Observer
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.delivery.retry import RetryPolicy
    from campaign.delivery.services import Services
    from campaign.delivery.worker_rates import WorkerRates
    from campaign.message.variants import CampaignMessages
    from campaign.model import Delivery
    from campaign.sendlog import SendLog


@dataclass(frozen=True, slots=True)
class Gate:
    """Who may be mailed now, and what issues the tokens."""

    #: None: the campaign has neither schedule, steps, recheck nor ramp.
    eligibility: Eligibility | None
    #: None: the campaign has no link.
    tokens: TokenIssuer | None


@dataclass(frozen=True, slots=True)
class GateParts:
    """What the gate of a run is made of."""

    definition: Definition
    messages: CampaignMessages
    services: Services
    settings: Settings
    observer: Observer
    clock: Clock
    policy: RetryPolicy
    #: Clerk's; None for a campaign without a link.
    limiter: RateLimiter | None
    concurrency: Concurrency


@contextmanager
def ramp_of(
    definition: Definition,
    log: SendLog,
    clock: Clock,
    *,
    beside: list[Ramp] | None,
    workers: WorkerRates | None = None,
) -> Iterator[Ramp | None]:
    """Yield the daily quotas of a campaign with what was sent so far, or None if it has none.

    Args:
        definition: the campaign file.
        log: the send log.
        clock: the time.
        beside: the ramps of the campaigns that are sent side by side, where this one is among them during the block;
            None if there are none.
        workers: what other workers of the log share; None if there are none.
    """
    quotas = definition.limits.ramp
    if not quotas and beside is None:
        yield None
        return
    zone = definition.schedule.default_zone or ZoneInfo("UTC")
    if workers:
        yield workers.ramp(quotas, zone, log.sent_by_day(zone), clock)
        return
    ramp = Ramp(quotas, zone, log.sent_by_day(zone), clock, beside=beside)
    if beside is None:
        yield ramp
        return
    beside.append(ramp)
    try:
        yield ramp
    finally:
        beside.remove(ramp)


@asynccontextmanager
async def open_gate(parts: GateParts, log: SendLog, ramp: Ramp | None) -> AsyncIterator[Gate]:
    """Yield the gate, with its connections to Clerk and to the site.

    Raises:
        SettingsError: a recheck endpoint is to be asked, and CAMPAIGN_RECHECK_KEY is not set.
    """
    definition = parts.definition
    async with AsyncExitStack() as stack:
        tokens, come_back = await _clerk_parts(parts, log, stack)
        variants = [definition.variant(step) for step in definition.step_names]
        scheduled = any(
            each.schedule.due or each.schedule.until or each.schedule.window or (each.recheck and each.recheck.url)
            for each in variants
        )
        if not scheduled and len(variants) == 1 and ramp is None:
            yield Gate(None, tokens)
            return
        rechecks = await _rechecks(parts, variants, stack)
        rules = {
            each.step: StepRules(
                each.schedule, rechecks.get(each.recheck.url or "") if each.recheck else None, each.unless
            )
            for each in variants
        }
        settled = parts.observer.settled
        yield Gate(Eligibility(log, parts.clock, rules, come_back=come_back, ramp=ramp, on_skipped=settled), tokens)


async def _rechecks(parts: GateParts, variants: list[Definition], stack: AsyncExitStack) -> dict[str, Recheck]:
    """Return what asks each of the site's endpoints, by its URL; one without a URL is not asked."""
    sections = {each.recheck.url: each.recheck for each in variants if each.recheck and each.recheck.url}
    if not sections:
        return {}
    from campaign.site.recheck_endpoint import RecheckEndpoint  # noqa: PLC0415 - others start sooner without httpx

    key = parts.settings.recheck_key
    if key is None:
        raise SettingsError(
            "CAMPAIGN_RECHECK_KEY is not set, and [recheck] url is: set it to the key with which the site checks the "
            "signature of the questions."
        )
    found = {}
    for url, section in sections.items():
        timeout = section.timeout.total_seconds()
        endpoint = await stack.enter_async_context(RecheckEndpoint(url, key.get_secret_value(), timeout=timeout))
        found[url] = Recheck(
            endpoint,
            parts.definition.name,
            Backoff(parts.policy),
            clock=parts.clock,
            on_notice=parts.observer.notice,
        )
    return found


async def _clerk_parts(
    parts: GateParts, log: SendLog, stack: AsyncExitStack
) -> tuple[TokenIssuer | None, ComeBack | None]:
    """Return what calls Clerk: the token issuer, and what finds out who came back; neither without a link."""
    definition, limiter = parts.definition, parts.limiter
    if limiter is None or parts.services.clerk_key is None:
        return None, None
    from campaign.clerk.client import Clerk  # noqa: PLC0415 - a campaign without a link starts sooner without httpx

    section, messages = definition.recipients, parts.messages
    clerk = await stack.enter_async_context(Clerk(parts.services.clerk_url, parts.services.clerk_key))
    by_address = section.lookup == "email"
    verify = section.verify_address
    users = (
        WaitlistUsers(clerk, limiter, log, verify=verify, makes_users=section.create_users, clock=parts.clock)
        if section.clerk
        else UserDirectory(clerk, limiter, by_address=by_address, verify=verify, clock=parts.clock)
    )
    revoker = TokenRevoker(log, clerk, limiter, Backoff(parts.policy), parts.clock)

    def link_of(delivery: Delivery) -> LinkSection | None:
        return messages.of(delivery.step, delivery.recipient.variables).definition.link

    tokens = TokenIssuer(
        clerk,
        users if by_address or verify else None,
        revoker,
        log=log,
        limiter=limiter,
        concurrency=parts.concurrency,
        clock=parts.clock,
        link_of=link_of,
    )
    if not any(definition.variant(step).unless for step in definition.step_names):
        return tokens, None
    return tokens, ComeBack(log, revoker, users, lifetimes=_shortest_lifetimes(messages), clock=parts.clock)


def _shortest_lifetimes(messages: CampaignMessages) -> dict[str, timedelta]:
    """Return how long the token of each step with a link lives at least, whatever the locale."""
    found: dict[str, timedelta] = {}
    for variant in messages:
        if link := variant.definition.link:
            found[variant.step] = min(found.get(variant.step, link.expires_in), link.expires_in)
    return found
