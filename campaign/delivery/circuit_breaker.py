"""A circuit breaker for refusals in a row: `CircuitBreaker.refused` says whether to pause a domain or end the run."""

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

#: So many temporary refusals in a row are the domain's, not the mailboxes'.
_DEFERRALS_TO_OPEN = 5
_MAILBOX_FULL = re.compile(r"mailbox (?:is )?full|over ?quota|quota exceeded", re.IGNORECASE)
#: So many refusals for reasons of policy in a row, and the domain gets no more of our mail in this run.
_REFUSALS_TO_BLOCK = 5
#: So many of them in a row whatever the domain, and nobody does.
_REFUSALS_TO_ABORT = 12

_POLICY = re.compile(
    r"unusual rate|rate limit|too many|reputation|policy|block(ed| ?list)|blacklist|spam|unsolicited|not authenticated",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class PauseDomain:
    """Leave a domain alone for a while; no recipient is to blame."""

    domain: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BlockDomain:
    """Send nothing more to a domain in this run; who is left stays queued."""

    domain: str
    reason: str


@dataclass(frozen=True, slots=True)
class AbortRun:
    """Send nothing more to anybody."""

    reason: str


Measure = PauseDomain | BlockDomain | AbortRun


class CircuitBreaker:
    """Watches replies by domain, and says when it is not the recipient who is refused."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._backoffs: defaultdict[str, Backoff] = defaultdict(lambda: Backoff(policy))
        self._deferrals: defaultdict[str, int] = defaultdict(int)
        self._refusals: defaultdict[str, int] = defaultdict(int)
        self._total_refusals = 0

    def accepted(self, domain: str) -> None:
        """Note that a domain took a message: its streaks end."""
        if self._deferrals or self._refusals:
            self._deferrals.pop(domain, None)
            self._refusals.pop(domain, None)
            self._backoffs.pop(domain, None)
        self._total_refusals = 0

    def refused(self, domain: str, error: DeliveryError, *, already_paused: bool) -> Measure | None:
        """Note a refusal by the mail server and return what it calls for besides the recipient's own fate.

        Args:
            domain: the recipient's.
            error: the refusal.
            already_paused: the domain is paused already: what it defers was sent before the pause.
        """
        reply = error.reply
        if reply is None:
            return None
        if isinstance(error, TransientError) and error.scope is Scope.RECIPIENT and not _is_about_the_mailbox(reply):
            self._deferrals[domain] += not already_paused
            if self._deferrals[domain] >= _DEFERRALS_TO_OPEN:
                self._deferrals[domain] = _DEFERRALS_TO_OPEN - 1  # until it takes one, it is the same storm
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
    """Return whether a deferral is about one mailbox, however many of them are full (RFC 3463 §3.3: X.2.X)."""
    return reply.enhanced.startswith("4.2.") or _MAILBOX_FULL.search(reply.text) is not None


def _is_policy(reply: Receipt) -> bool:
    """Return whether a refusal is about us and not about the mailbox (RFC 3463 §3.8: X.7.X is security or policy)."""
    return reply.code >= 500 and (reply.enhanced.startswith("5.7.") or _POLICY.search(reply.text) is not None)
