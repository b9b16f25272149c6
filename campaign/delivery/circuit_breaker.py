"""A circuit breaker for consecutive refusals: `CircuitBreaker.refused` says what to pause, block or abort."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.delivery.retry import Backoff
from campaign.errors import PermanentError, Scope, TransientError

if TYPE_CHECKING:
    from campaign.delivery.retry import RetryPolicy
    from campaign.errors import DeliveryError
    from campaign.model import Receipt

#: After this many consecutive deferrals, assume that the domain is the reason and not the mailboxes.
_DEFERRALS_TO_OPEN = 5
_MAILBOX_FULL = re.compile(r"mailbox (?:is )?full|over ?quota|quota exceeded", re.IGNORECASE)
#: After this many consecutive refusals for policy, the run sends nothing more to the domain.
_REFUSALS_TO_BLOCK = 5
#: After this many consecutive refusals for policy across all domains, the run stops.
_REFUSALS_TO_ABORT = 12

_POLICY = re.compile(
    r"unusual rate|rate limit|too many|reputation|policy|block(ed| ?list)|blacklist|spam|unsolicited|not authenticated",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class PauseDomain:
    """Pause a domain: the deferrals are not the fault of single recipients."""

    domain: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BlockDomain:
    """Send nothing more to a domain in this run; its remaining rows stay `queued`."""

    domain: str
    reason: str


@dataclass(frozen=True, slots=True)
class AbortRun:
    """Stop the run."""

    reason: str


Measure = PauseDomain | BlockDomain | AbortRun


class CircuitBreaker:
    """Counts consecutive refusals by domain, and says when the domain or the sender is the reason for them."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._backoffs: defaultdict[str, Backoff] = defaultdict(lambda: Backoff(policy))
        self._deferrals: defaultdict[str, int] = defaultdict(int)
        self._refusals: defaultdict[str, int] = defaultdict(int)
        self._total_refusals = 0

    def accepted(self, domain: str) -> None:
        """Note that a domain accepted a message: its counts start again at 0."""
        if self._deferrals or self._refusals:
            self._deferrals.pop(domain, None)
            self._refusals.pop(domain, None)
            self._backoffs.pop(domain, None)
        self._total_refusals = 0

    def refused(self, domain: str, error: DeliveryError, *, already_paused: bool) -> Measure | None:
        """Note a refusal by the mail server and return what to do beyond the recipient's own outcome.

        Args:
            domain: the recipient's domain.
            error: the refusal.
            already_paused: the domain is paused. A deferral is then not counted, because its delivery was under way
                before the pause.
        """
        reply = error.reply
        if reply is None:
            return None
        if isinstance(error, TransientError) and error.scope is Scope.RECIPIENT and not _is_about_the_mailbox(reply):
            self._deferrals[domain] += not already_paused
            if self._deferrals[domain] >= _DEFERRALS_TO_OPEN:
                self._deferrals[domain] = _DEFERRALS_TO_OPEN - 1  # the next deferral pauses it again
                return PauseDomain(domain, self._backoffs[domain].failed(error.wait))
        elif isinstance(error, PermanentError) and _is_policy(reply):
            self._refusals[domain] += 1
            # count each domain at most five times toward the global limit
            self._total_refusals += self._refusals[domain] <= _REFUSALS_TO_BLOCK
            if self._total_refusals >= _REFUSALS_TO_ABORT:
                return AbortRun(
                    f"the mail server refused {self._total_refusals} messages in a row for policy reasons: "
                    f"{reply}. Ask the server's operator"
                )
            if self._refusals[domain] == _REFUSALS_TO_BLOCK:
                return BlockDomain(domain, f"{domain} refused {_REFUSALS_TO_BLOCK} messages in a row: {reply}")
        return None


def _is_about_the_mailbox(reply: Receipt) -> bool:
    """Return whether a deferral is about one mailbox, such as a full one (RFC 3463 §3.3: X.2.X)."""
    return reply.enhanced.startswith("4.2.") or _MAILBOX_FULL.search(reply.text) is not None


def _is_policy(reply: Receipt) -> bool:
    """Return whether a refusal is about the sender, not the mailbox (RFC 3463 §3.8: X.7.X is security or policy)."""
    return reply.code >= 500 and (reply.enhanced.startswith("5.7.") or _POLICY.search(reply.text) is not None)
