"""The rate limiters of a run, one for each service and domain: `RateLimits`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakSet

from campaign.delivery.rate_limiter import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaign.clock import Clock
    from campaign.delivery.turnstile import Turnstile
    from campaign.delivery.worker_rates import WorkerRates


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The rate limiters of a run: one for each service and for each recipient domain that has a rate."""

    #: The mail server's.
    messages: RateLimiter
    #: Clerk's; None for a campaign without a link.
    clerk: RateLimiter | None
    domains: Mapping[str, RateLimiter]
    #: What other workers of the log share; None if there are none.
    workers: WorkerRates | None = None
    #: The name of the campaign that is sent under them; empty if they are those of several.
    campaign: str = ""
    #: Where the messages of each campaign wait for the mail server's permits.
    turnstiles: WeakSet[Turnstile] = field(default_factory=WeakSet)

    def new_domain(self, domain: str, clock: Clock) -> RateLimiter:
        """Return the limiter of a domain that has no rate, to be paused."""
        return self.workers.domain(domain, ()) if self.workers else RateLimiter((), clock)

    @property
    def services(self) -> tuple[RateLimiter, ...]:
        """The limiters of which every message needs a permit."""
        return (self.messages, self.clerk) if self.clerk else (self.messages,)

    @property
    def paused_why(self) -> str:
        """The fault for which a service is paused now; empty if none is."""
        return next((limiter.paused_why for limiter in self.services if limiter.is_paused), "")

    @property
    def told_of_pause(self) -> str:
        """The same, with the time after which the run gives up."""
        return next((limiter.paused_why + limiter.patience for limiter in self.services if limiter.is_paused), "")
