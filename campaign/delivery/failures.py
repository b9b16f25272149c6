"""Decide what an error means for the recipient, the domain and the run: `Failures.handle`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.delivery.circuit_breaker import AbortRun, BlockDomain, CircuitBreaker, PauseDomain
from campaign.delivery.retry import Backoff, outcome_of
from campaign.errors import CampaignError, DeliveryError, Scope, ServiceRefusesError, TransientError
from campaign.model import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.clock import Clock
    from campaign.delivery.attempt import Attempt
    from campaign.delivery.rate_limiter import RateLimits
    from campaign.delivery.retry import RetryPolicy
    from campaign.delivery.scheduler import Scheduler
    from campaign.model import Receipt


class Failures:
    """The retry policy, the circuit breaker, and the back-off of each service.

    Args:
        policy: whether and when to try a recipient again.
        scheduler: pauses domains, and is stopped when the run is aborted.
        limits: the rate limiters, which pause the services.
        clock: the time.
        on_notice: called with a sentence that the operator should read at once.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        scheduler: Scheduler,
        limits: RateLimits,
        *,
        clock: Clock,
        on_notice: Callable[[str], None],
    ) -> None:
        self._policy = policy
        self._scheduler = scheduler
        self._limits = limits
        self._clock = clock
        #: Shows the operator a sentence at once.
        self.notice = on_notice
        self._breaker = CircuitBreaker(policy)
        self._server_backoff = Backoff(policy)
        self._clerk_backoff = Backoff(policy)
        #: Why the run was aborted; None while it is not.
        self.abort_reason: CampaignError | None = None

    def token_issued(self) -> None:
        """Note that Clerk works: its next fault counts as the first."""
        self._clerk_backoff.succeeded()

    def connected(self) -> None:
        """Note that the mail server works: its next fault counts as the first."""
        self._server_backoff.succeeded()

    def accepted(self, attempt: Attempt, receipt: Receipt) -> Outcome:
        """Return the outcome of an accepted message, and reset the fault counts of its server and domain."""
        self._server_backoff.succeeded()
        self._breaker.accepted(attempt.delivery.recipient.domain)
        return Outcome(Status.SENT, reply=receipt)

    def handle(self, error: DeliveryError, attempt: Attempt, *, by_clerk: bool) -> Outcome:
        """Return the recipient's outcome after an error; pause the domain or the service that caused it.

        Args:
            error: the error.
            attempt: the attempt that failed.
            by_clerk: Clerk caused the error, not the mail server: the circuit breaker does not count it.
        """
        delivery = attempt.delivery
        domain = delivery.recipient.domain
        if not by_clerk:
            self._break_circuit(domain, error)
        paused_until = self._scheduler.paused_until(domain)
        if isinstance(error, TransientError):
            if error.scope is Scope.SERVER:
                paused_until = self.pause_server(error)
            elif error.scope is Scope.CLERK and self._limits.clerk:
                paused_until = self._clerk_backoff.back_off(self._limits.clerk, error)
        return outcome_of(error, delivery, self._policy, now=self._clock.now(), paused_until=paused_until)

    def pause_server(self, error: TransientError) -> float:
        """Pause the mail server after its fault; return when the pause ends (seconds since the epoch)."""
        return self._server_backoff.back_off(self._limits.messages, error)

    def abort(self, error: CampaignError) -> Outcome:
        """Stop the run because a service refuses all requests; return the recipient's outcome, `queued`."""
        self.abort_reason = self.abort_reason or error
        self._scheduler.stop()
        return Outcome(Status.QUEUED, f"the run was stopped: {error}")

    def raise_if_aborted(self) -> None:
        """Raise the error that aborted the run, if there is one."""
        if self.abort_reason:
            raise self.abort_reason

    def _break_circuit(self, domain: str, error: DeliveryError) -> None:
        paused = self._scheduler.paused_until(domain) > self._clock.now()
        match self._breaker.refused(domain, error, already_paused=paused):
            case PauseDomain(domain=domain, seconds=seconds):
                self._scheduler.pause_domain(domain, seconds)
                self.notice(f"{domain} deferred several messages in a row; it is paused for {seconds:.0f} s")
            case BlockDomain(domain=domain, reason=reason):
                self._scheduler.pause_domain(domain, float("inf"))
                self.notice(f"{reason}. This run sends nothing more to {domain}; its rows stay queued")
            case AbortRun(reason=reason):
                self.abort(ServiceRefusesError(f"{reason}. The run sends nothing more; the other rows stay queued"))
