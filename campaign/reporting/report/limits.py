"""What was allowed, and how near the campaign came to it. The pacing itself is decided elsewhere."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from campaign.model import Status

if TYPE_CHECKING:
    from campaign.config.definition import Definition
    from campaign.model import Rate
    from campaign.sendlog.aggregates import Aggregates

#: Longer windows are budgets and no rate that a chart could show.
_LONGEST_DRAWN = timedelta(minutes=1)
#: Windows are half open, those of the log closed: so much shorter, they hold the same.
_HALF_OPEN_FACTOR = 0.999
#: Domains whose limits are looked at.
_MAX_DOMAINS = 20


class Limit(NamedTuple):
    """One declared rate, and the fullest window of that length."""

    #: `messages`, `tokens`, or a domain.
    what: str
    rate: Rate
    #: The most in any window, of all campaigns in the log.
    fullest: int

    @property
    def share(self) -> float:
        """How much of the limit the fullest window took."""
        return self.fullest / self.rate.count


def drawn(rate: Rate) -> bool:
    """Return whether a rate is one that a chart can show as a line."""
    return rate.period <= _LONGEST_DRAWN


def limits_of(log: Aggregates, definition: Definition, token_rates: tuple[Rate, ...]) -> tuple[Limit, ...]:
    """Return every limit that the campaign file declares, and Clerk's own, with what they were filled to."""
    found = [
        Limit("messages", rate, log.fullest(Status.SENDING, rate.period * _HALF_OPEN_FACTOR))
        for rate in definition.limits.messages
    ]
    if definition.link is not None:
        found += [
            Limit("tokens", rate, log.fullest(Status.ISSUING, rate.period * _HALF_OPEN_FACTOR)) for rate in token_rates
        ]
    by_period: dict[timedelta, dict[str, Rate]] = defaultdict(dict)
    for domain, rates in list(definition.limits.domains.items())[:_MAX_DOMAINS]:
        for rate in rates:
            by_period[rate.period][domain] = rate
    for period, domains in by_period.items():
        fullest = log.fullest_of(domains, period * _HALF_OPEN_FACTOR)
        found += [Limit(domain, rate, fullest.get(domain, 0)) for domain, rate in domains.items()]
    return tuple(found)
