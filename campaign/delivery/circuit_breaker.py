"""A circuit breaker for consecutive refusals: `CircuitBreaker.refused` says what to pause, block or abort."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.delivery.refusals import Subject, same_words, subject_of, when_to_go_on
from campaign.delivery.retry import Backoff
from campaign.errors import PermanentError, Scope, TransientError

if TYPE_CHECKING:
    from campaign.delivery.retry import RetryPolicy
    from campaign.errors import DeliveryError
    from campaign.model import Delivery, Receipt

#: After this many consecutive deferrals, assume that the domain is the reason and not the mailboxes.
_DEFERRALS_TO_OPEN = 5
_MAILBOX_FULL = re.compile(r"mailbox (?:is )?full|over ?quota|quota exceeded", re.IGNORECASE)
#: After this many consecutive refusals that concern the sender, the run sends nothing more to the domain.
_REFUSALS_TO_BLOCK = 5
#: After this many consecutive refusals that are no recipient's fault, the run stops.
_REFUSALS_TO_ABORT = 12
#: Different refusals that are counted at once, the latest ones.
_MAX_STREAKS = 50
_MAX_ROWS = 1000


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
    #: The ids of the rows that failed for it, which was not their fault.
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AbortRun:
    """Stop the run."""

    reason: str
    #: The ids of the rows that failed for it, which was not their fault.
    rows: tuple[int, ...]


Measure = PauseDomain | BlockDomain | AbortRun


@dataclass(slots=True)
class _Streak:
    """Consecutive refusals for one reason, with no acceptance between them."""

    #: The rows refused for this reason in this run, the latest ones. An acceptance between two of them does not remove
    #: the first: the message may have been under way before the server began to refuse all.
    rows: deque[int] = field(default_factory=lambda: deque(maxlen=_MAX_ROWS))
    #: How many each domain refused since the last acceptance.
    domains: Counter[str] = field(default_factory=Counter)

    def add(self, delivery: Delivery) -> None:
        self.rows.append(delivery.id)
        self.domains[delivery.recipient.domain] += 1

    def weight(self, *, per_domain: int) -> int:
        """Return how many refusals count, of each domain at most so many."""
        return sum(min(number, per_domain) for number in self.domains.values())


class _Streaks(dict[str, _Streak]):
    """Streaks by their reason, the latest ones."""

    def of(self, reason: str) -> _Streak:
        if reason not in self and len(self) == _MAX_STREAKS:
            del self[next(iter(self))]
        return self.setdefault(reason, _Streak())


class CircuitBreaker:
    """Counts consecutive refusals by domain, and says when the domain or the sender is the reason for them."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._backoffs: defaultdict[str, Backoff] = defaultdict(lambda: Backoff(policy))
        self._deferrals: defaultdict[str, int] = defaultdict(int)
        #: The rows that each domain refused for the sender's sake since it accepted a message.
        self._refused: defaultdict[str, list[int]] = defaultdict(list)
        #: The refusals with the same words, by these, and all that concern the sender.
        self._streaks = _Streaks()
        #: Clerk's refusals of a token, by its words.
        self._clerk_streaks = _Streaks()

    def accepted(self, domain: str) -> None:
        """Note that a domain accepted a message: its counts start again at 0."""
        if self._deferrals or self._refused:
            self._deferrals.pop(domain, None)
            self._refused.pop(domain, None)
            self._backoffs.pop(domain, None)
        for streak in self._streaks.values():
            streak.domains.clear()

    def refused(self, delivery: Delivery, error: DeliveryError, *, already_paused: bool) -> Measure | None:
        """Note a refusal by the mail server and return what to do beyond the recipient's own outcome.

        Args:
            delivery: the row.
            error: the refusal.
            already_paused: the domain is paused. A deferral is then not counted, because its delivery was under way
                before the pause.
        """
        reply, domain = error.reply, delivery.recipient.domain
        if reply is None:
            return None
        if isinstance(error, TransientError) and error.scope is Scope.RECIPIENT and not _is_about_the_mailbox(reply):
            self._deferrals[domain] += not already_paused
            if self._deferrals[domain] >= _DEFERRALS_TO_OPEN:
                self._deferrals[domain] = _DEFERRALS_TO_OPEN - 1  # the next deferral pauses it again
                return PauseDomain(domain, self._backoffs[domain].failed(error.wait))
        elif isinstance(error, PermanentError) and (subject := subject_of(reply)) is not Subject.MAILBOX:
            return self._refused_for_no_fault(delivery, reply, subject)
        return None

    def token_issued(self) -> None:
        """Note that Clerk issued a token: its count starts again at 0."""
        for streak in self._clerk_streaks.values():
            streak.domains.clear()

    def refused_by_clerk(self, delivery: Delivery, error: DeliveryError) -> AbortRun | None:
        """Note that Clerk refuses a token for good, and return whether it does so to all; a skip is no refusal."""
        if not isinstance(error, PermanentError) or error.skip or error.reply is None:
            return None
        streak = self._clerk_streaks.of(same_words(error.reply))
        streak.add(delivery)
        number = streak.weight(per_domain=_REFUSALS_TO_ABORT)
        if number < _REFUSALS_TO_ABORT:
            return None
        return AbortRun(
            f"Clerk refused {number} tokens in a row with the same words: {error.reply}. Check the campaign's "
            "[link] section and the Clerk account, then run the same command again",
            tuple(streak.rows),
        )

    def _refused_for_no_fault(self, delivery: Delivery, reply: Receipt, subject: Subject) -> Measure | None:
        domain = delivery.recipient.domain
        for what in (same_words(reply), *(("",) if subject is Subject.SENDER else ())):
            streak = self._streaks.of(what)
            streak.add(delivery)
            # a quota is one of the account; of any other reason one domain may have its own opinion
            number = streak.weight(per_domain=_REFUSALS_TO_ABORT if subject is Subject.QUOTA else _REFUSALS_TO_BLOCK)
            if number >= _REFUSALS_TO_ABORT:
                how = "with the same words" if what else "for reasons that concern the sender"
                after = (
                    when_to_go_on(reply)
                    if subject is Subject.QUOTA
                    else "Settle it with the mail provider, then run the same command again"
                )
                return AbortRun(
                    f"the mail server refused {number} messages in a row {how}: {reply}. {after}",
                    tuple(streak.rows),
                )
        if subject is Subject.SENDER:
            rows = self._refused[domain]
            rows.append(delivery.id)
            if len(rows) >= _REFUSALS_TO_BLOCK:
                return BlockDomain(domain, f"{domain} refused {len(rows)} messages in a row: {reply}", tuple(rows))
        return None


def _is_about_the_mailbox(reply: Receipt) -> bool:
    """Return whether a deferral is about one mailbox, such as a full one (RFC 3463 §3.3: X.2.X)."""
    return reply.enhanced.startswith("4.2.") or _MAILBOX_FULL.search(reply.text) is not None
