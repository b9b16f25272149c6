"""Decide whether and when a recipient is tried again: `outcome_of`, from the error and the earlier faults."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from campaign.delivery.refusals import refuses_address
from campaign.errors import DeferredError, DeliveryError, PermanentError, Scope, TransientError, UncertainError
from campaign.model import LONGEST_WAIT, Outcome, Status

if TYPE_CHECKING:
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.model import Delivery


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a recipient is tried, and how long it waits between two attempts."""

    #: Attempts per recipient, including the first.
    attempts: int = 5
    #: The wait after the first temporary fault; each further fault doubles it, up to an hour.
    first_delay: timedelta = timedelta(seconds=30)
    _random: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def delay(self, faults: int) -> float:
        """Return the seconds to wait after the `faults`-th consecutive fault.

        Exponential backoff with up to 20 % jitter, so that rows that failed together are not retried together. The
        wait is never shorter than declared.
        """
        longest = LONGEST_WAIT.total_seconds()
        base = min(longest, self.first_delay.total_seconds() * 2.0 ** min(faults - 1, 60))
        return min(longest, base * self._random.uniform(1.0, 1.2))


class Backoff:
    """The consecutive faults of one domain or service, and how long it is paused after each."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._faults = 0

    def failed(self, wait: timedelta | None) -> float:
        """Note a fault and return the seconds to pause: what the service asked for, or the policy's delay."""
        self._faults += 1
        if wait:  # a wait of 0 counts as none given: otherwise calls that are all refused would follow without a pause
            return min(wait, LONGEST_WAIT).total_seconds()
        return self._policy.delay(self._faults)

    def back_off(self, limiter: RateLimiter, error: TransientError, *, give_up_in: float | None = None) -> float:
        """Pause a service after its fault and return the instant at which the pause ends.

        A call that fails during a pause was under way before it, so it counts as the same fault. Only a wait that the
        service itself asks for can then make the pause longer.

        Args:
            limiter: the service's.
            error: the fault.
            give_up_in: the seconds after which the run gives up waiting, or None: the pause is not longer, and says it.
        """
        if not error.wait and limiter.is_paused:
            return limiter.paused_until
        seconds = self.failed(error.wait)
        # without a reply it may be this machine's network, and other workers need not wait
        by_service = error.reply is not None
        if give_up_in is None:
            return limiter.pause(seconds, error.reason, tell=by_service)
        patience = f"; if that lasts, the run ends in {give_up_in:.0f} s"
        return limiter.pause(min(seconds, give_up_in), error.reason, patience=patience, tell=by_service)

    @property
    def is_failing(self) -> bool:
        """Whether the last call failed."""
        return self._faults > 0

    def succeeded(self) -> None:
        """Note a success: the next fault counts as the first again."""
        self._faults = 0


def outcome_of(
    error: DeliveryError, delivery: Delivery, policy: RetryPolicy, *, now: float, paused_until: float
) -> Outcome:
    """Return the outcome of an attempt that ended with an error.

    Args:
        error: the error.
        delivery: the row as it was claimed.
        policy: how often a recipient is tried, and how long it waits.
        now: the instant of the error.
        paused_until: when the pause of the service or domain that failed ends; not used for the row's own faults.
    """
    match error:
        case UncertainError():
            return Outcome(Status.UNCERTAIN, error.reason, reply=error.reply)
        case PermanentError(skip=True):
            return Outcome(Status.SKIPPED, error.reason, reply=error.reply, ends_sequence=error.ends_sequence)
        case PermanentError():
            return Outcome(Status.FAILED, error.reason, reply=error.reply, suppress=_why_suppress(error))
        case DeferredError():
            return Outcome(Status.QUEUED, error.reason, not_before=error.until, waiting=error.waiting)
        case TransientError(scope=Scope.RECIPIENT):
            faults = delivery.faults + 1
            if faults >= policy.attempts:
                reason = f"given up after {faults} attempts: {error.reason}"
                return Outcome(
                    Status.FAILED,
                    reason,
                    reply=error.reply,
                    possible_orphan=error.maybe_applied,
                    faults=faults,
                )
            wait = policy.delay(faults) if error.wait is None else min(error.wait, LONGEST_WAIT).total_seconds()
            not_before = now + wait
        case TransientError():
            faults, not_before = delivery.faults, max(now, paused_until)
        case _:
            raise TypeError(f"{type(error).__name__} is not an outcome") from error
    return Outcome(
        Status.QUEUED,
        error.reason,
        reply=error.reply,
        possible_orphan=error.maybe_applied,
        faults=faults,
        not_before=not_before,
    )


def _why_suppress(error: PermanentError) -> str:
    if error.reply is None or not error.about_address or not refuses_address(error.reply):
        return ""
    return f"refused with {error.reply.enhanced}"
