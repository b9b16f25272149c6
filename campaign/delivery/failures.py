"""Decide what an error means for the recipient, the domain and the run: `Failures.handle`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from campaign.delivery.circuit_breaker import AbortRun, BlockDomain, CircuitBreaker, PauseDomain
from campaign.delivery.patience import PATIENCE_S, Patience
from campaign.delivery.retry import Backoff, outcome_of
from campaign.errors import CampaignError, DeliveryError, Scope, ServiceRefusesError, TransientError
from campaign.model import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.clock import Clock
    from campaign.delivery.attempt import Attempt
    from campaign.delivery.circuit_breaker import Measure
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.delivery.rate_limits import RateLimits
    from campaign.delivery.retry import RetryPolicy
    from campaign.delivery.scheduler import Scheduler
    from campaign.model import Delivery, Receipt


class Failures:
    """The retry policy, the circuit breaker, and the back-off of each service.

    Args:
        policy: whether and when to try a recipient again.
        scheduler: pauses domains, and is stopped when the run is aborted.
        limits: the rate limiters, which pause the services.
        clock: the time.
        on_notice: called with a sentence that the operator should read at once.
        patience: how long to wait for a service before anything was sent; by default five minutes.
        on_token: called for each token that Clerk issued.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        scheduler: Scheduler,
        limits: RateLimits,
        *,
        clock: Clock,
        on_notice: Callable[[str], None],
        patience: Patience | None = None,
        on_token: Callable[[], None] = lambda: None,
    ) -> None:
        self._policy = policy
        self._scheduler = scheduler
        self._limits = limits
        self._clock = clock
        #: Shows the operator a sentence at once.
        self.notice = on_notice
        self._on_token = on_token
        self._patience = patience or Patience(clock, is_endless=False)
        self._breaker = CircuitBreaker(policy)
        self._server_backoff = Backoff(policy)
        self._clerk_backoff = Backoff(policy)
        #: Why the run was aborted; None while it is not.
        self.abort_reason: CampaignError | None = None
        #: Rows that failed for a refusal that turned out to concern the sender: they are to be queued again.
        self._blameless: dict[int, str] = {}
        self._blocked: set[str] = set()
        #: How many answers of Clerk were lost for each row in the present outage, and for whom in earlier ones.
        self._lost: Counter[int] = Counter()
        self._suspects: set[int] = set()
        self._outage_is_over = True

    def token_issued(self, attempt: Attempt) -> None:
        """Note that Clerk works: its next fault counts as the first."""
        self._on_token()
        self._clerk_backoff.succeeded()
        self._patience.works(Scope.CLERK)
        self._breaker.token_issued()
        self._outage_is_over = True
        self._lost.pop(attempt.delivery.id, None)
        self._suspects.discard(attempt.delivery.id)

    def connected(self) -> None:
        """Note that the mail server works: its next fault counts as the first."""
        self._server_backoff.succeeded()
        self._patience.works(Scope.SERVER)

    def accepted(self, attempt: Attempt, receipt: Receipt) -> Outcome:
        """Return the outcome of an accepted message, and reset the fault counts of its server and domain."""
        self._server_backoff.succeeded()
        self._patience.sent()
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
        self._break_circuit(delivery, error, by_clerk=by_clerk)
        if reason := self._blameless.pop(delivery.id, None):
            return Outcome(Status.QUEUED, reason, reply=error.reply)
        paused_until = self._scheduler.paused_until(domain)
        if isinstance(error, TransientError):
            if error.scope is Scope.SERVER:
                paused_until = self.pause_server(error)
            elif error.scope is Scope.CLERK and self._limits.clerk:
                if error.maybe_applied and self._is_the_rows_own(delivery):
                    error = TransientError(error.reason, maybe_applied=True, reply=error.reply)
                else:
                    paused_until = self._pause(self._limits.clerk, self._clerk_backoff, error)
        outcome = outcome_of(error, delivery, self._policy, now=self._clock.now(), paused_until=paused_until)
        if attempt.token_asked_at:
            return outcome
        return outcome._replace(possible_orphan=False)  # a user was asked for, whom the next look-up finds

    def pause_server(self, error: TransientError) -> float:
        """Pause the mail server after its fault; return when the pause ends (seconds since the epoch)."""
        return self._pause(self._limits.messages, self._server_backoff, error)

    def abort(self, error: CampaignError) -> Outcome:
        """Stop the run because a service refuses all requests; return the recipient's outcome, `queued`."""
        self.abort_reason = self.abort_reason or error
        self._scheduler.stop()
        return Outcome(Status.QUEUED, f"the run was stopped: {error}")

    def domain_paused_elsewhere(self, domain: str, seconds: float, why: str) -> None:
        """Pause a domain, or stop mailing it, because another worker of the log does."""
        self._scheduler.pause_domain(domain, seconds, tell=False)
        if seconds < float("inf"):
            self.notice(f"another worker paused {domain} for {seconds:.0f} s: {why}")
        elif domain not in self._blocked:
            self._blocked.add(domain)
            self.notice(f"another worker: {why}. This run sends nothing more to {domain}; its rows stay queued")

    def aborted_elsewhere(self, why: str) -> None:
        """Stop the run because another worker of the campaign found that all its messages are refused."""
        self.abort(ServiceRefusesError(f"another worker of this campaign stopped: {why}. The rows stay queued"))

    def raise_if_aborted(self) -> None:
        """Raise the error that aborted the run, if there is one."""
        if self.abort_reason:
            raise self.abort_reason

    def take_blameless(self) -> dict[int, str]:
        """Return the rows to put back into the queue, by id with the reason, and forget them."""
        found, self._blameless = self._blameless, {}
        return found

    def _pause(self, limiter: RateLimiter, backoff: Backoff, error: TransientError) -> float:
        """Pause a service after its fault; abort the run if nothing was sent and it has failed for too long."""
        if limiter.is_paused and not error.wait:
            return limiter.paused_until  # the call was under way before the pause: it is the same fault
        # a service that says how long to wait works
        left = None if error.wait else self._patience.seconds_left(error.scope)
        if left == 0.0:
            self.abort(
                ServiceRefusesError(
                    f"{error.reason}. That lasted {PATIENCE_S / 60:.0f} minutes and nothing was sent, so the run ends; "
                    "all rows stay queued. To wait without an end, add --wait-for-server"
                )
            )
        return backoff.back_off(limiter, error, give_up_in=left)

    def _is_the_rows_own(self, delivery: Delivery) -> bool:
        """Return whether Clerk's answer is lost for this row again, although Clerk issued tokens for others meanwhile.

        Then the fault costs the row an attempt, which bounds the tokens that it may leave. An outage costs no row an
        attempt: its calls are made one at a time, further and further apart, and the run stops before one row loses
        more answers in it than it has attempts.
        """
        if self._outage_is_over:
            self._outage_is_over = False
            self._suspects, self._lost = self._suspects | self._lost.keys(), Counter()
        if delivery.id in self._suspects:
            return True
        self._lost[delivery.id] += 1
        if self._lost[delivery.id] >= self._policy.attempts:
            self.abort(
                ServiceRefusesError(
                    f"Clerk gave no usable answer to {self._lost.total()} requests in a row; each may have left a "
                    "token or a user. The rows stay queued: run the same command again when Clerk works"
                )
            )
        return False

    def _break_circuit(self, delivery: Delivery, error: DeliveryError, *, by_clerk: bool) -> None:
        paused = self._scheduler.paused_until(delivery.recipient.domain) > self._clock.now()
        if by_clerk:
            measure: Measure | None = self._breaker.refused_by_clerk(delivery, error)
        else:
            measure = self._breaker.refused(delivery, error, already_paused=paused)
        match measure:
            case PauseDomain(domain=domain, seconds=seconds):
                self._scheduler.pause_domain(domain, seconds, error.reason)
                self.notice(f"{domain} deferred several messages in a row; it is paused for {seconds:.0f} s")
            case BlockDomain(domain=domain, reason=reason, rows=rows):
                self._blameless |= dict.fromkeys(rows, f"not this recipient's fault: {error.reason}")
                if domain not in self._blocked:
                    self._blocked.add(domain)
                    self._scheduler.pause_domain(domain, float("inf"), reason)
                    self.notice(f"{reason}. This run sends nothing more to {domain}; its rows stay queued")
            case AbortRun(reason=reason, rows=rows):
                self._blameless |= dict.fromkeys(rows, f"not this recipient's fault: {error.reason}")
                if self.abort_reason is None and self._limits.workers:
                    self._limits.workers.abort(self._limits.campaign, reason)
                self.abort(
                    ServiceRefusesError(
                        f"{reason}. It is no recipient's fault: the rows that it refused go back to the queue, and "
                        "the other rows stay queued"
                    )
                )
