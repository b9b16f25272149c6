"""Open what one run, or several campaigns side by side, send through: `limits_of`, `open_outbound`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from campaign.delivery.concurrency import LatencyEstimate
from campaign.delivery.mail_server import connector_to
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.rate_limits import RateLimits
from campaign.delivery.services import needs_clerk
from campaign.delivery.worker_rates import MESSAGES, TOKENS
from campaign.message.mime.headers import split_mailbox
from campaign.model import Status
from campaign.smtp import Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.ramp import Ramp
    from campaign.delivery.services import Services
    from campaign.delivery.worker_rates import WorkerRates
    from campaign.model import Rate
    from campaign.sendlog import PreparationLog


@dataclass(frozen=True, slots=True)
class Outbound:
    """The connections to the mail server and the rate limits, which all campaigns of a send log share."""

    pool: Pool
    limits: RateLimits
    #: The most connections at once.
    connections: int
    #: How long a message takes on its connection.
    latency: LatencyEstimate
    #: The ramps of campaigns that are sent side by side; None: none of them has one, or there is only one campaign.
    ramps: list[Ramp] | None = None

    def limits_for(self, definition: Definition) -> RateLimits:
        """Return the limits that hold for a campaign: one that does not call Clerk need not wait for it."""
        clerk = self.limits.clerk if needs_clerk(definition) else None
        return replace(self.limits, clerk=clerk, campaign=definition.name)


@dataclass(frozen=True, slots=True)
class SharedRates:
    """All rates that some campaigns ask for. Each of them is kept, so the strictest holds."""

    messages: tuple[Rate, ...]
    #: Clerk's; None if no campaign calls Clerk.
    tokens: tuple[Rate, ...] | None
    #: Each recipient domain's, by the domain.
    domains: dict[str, tuple[Rate, ...]] = field(default_factory=dict)
    #: The most connections to the mail server at once.
    connections: int = 1

    @classmethod
    def of(cls, definitions: Sequence[Definition], services: Services) -> SharedRates:
        """Return the rates of campaigns that share a mail server and a secret key; at least one campaign."""
        limits = [definition.limits for definition in definitions]
        with_clerk = [definition.limits.tokens for definition in definitions if needs_clerk(definition)]
        tokens = [services.clerk_rates if rates is None else rates for rates in with_clerk]
        domains = sorted({domain for each in limits for domain in each.domains})
        return cls(
            messages=_all(each.messages for each in limits),
            tokens=_all(tokens) if tokens else None,
            domains={domain: _all(each.domains.get(domain, ()) for each in limits) for domain in domains},
            connections=min(each.connections for each in limits),
        )


def limits_of(
    rates: SharedRates, services: Services, log: PreparationLog, workers: WorkerRates | None = None
) -> RateLimits:
    """Return the rate limiters for some rates, with what earlier runs of the log have used of them.

    Args:
        rates: the rates.
        services: Clerk and the mail server.
        log: knows what was used.
        workers: what other workers of the log share; None if there are none.
    """
    clock, tokens = services.clock, rates.tokens
    if workers:
        return RateLimits(
            messages=workers.limiter(MESSAGES, rates.messages, Status.SENDING),
            clerk=None if tokens is None else workers.limiter(TOKENS, tokens, Status.ISSUING),
            domains={domain: workers.domain(domain, each) for domain, each in rates.domains.items()},
            workers=workers,
        )
    return RateLimits(
        messages=RateLimiter(rates.messages, clock, log.spent(Status.SENDING, rates.messages)),
        clerk=None if tokens is None else RateLimiter(tokens, clock, log.spent(Status.ISSUING, tokens)),
        domains={
            domain: RateLimiter(each, clock, log.spent(Status.SENDING, each, domain=domain))
            for domain, each in rates.domains.items()
        },
    )


@asynccontextmanager
async def open_outbound(
    definitions: Sequence[Definition], services: Services, settings: Settings, *, connections: int, limits: RateLimits
) -> AsyncIterator[Outbound]:
    """Yield the connections to the mail server, none of them open yet, and the limits of some campaigns.

    Args:
        definitions: the campaigns; the sender of the first may name this machine to the mail server.
        services: the mail server's address.
        settings: time-outs and the name for EHLO.
        connections: the most at once.
        limits: see `limits_of`.
    """
    latency = LatencyEstimate()
    sender = split_mailbox(definitions[0].email.sender)[1]
    pool = Pool(
        connector_to(services.smtp, settings, sender=sender),
        limit=connections,
        clock=services.clock,
        on_accepted=latency.note,
        on_too_fast=limits.messages.slow_down,
    )
    is_ramped = len(definitions) > 1 and any(definition.limits.ramp for definition in definitions)
    async with pool:
        yield Outbound(pool, limits, connections, latency, [] if is_ramped else None)


def _all(rates: Iterable[Sequence[Rate]]) -> tuple[Rate, ...]:
    """Return the different rates of several lists, in their order."""
    return tuple(dict.fromkeys(rate for each in rates for rate in each))
