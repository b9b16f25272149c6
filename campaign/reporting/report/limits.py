"""Compare each rate limit with the busiest window of the send log: `limits_of`."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from campaign.delivery.services import needs_clerk
from campaign.model import Status

if TYPE_CHECKING:
    from campaign.config.definition import Definition
    from campaign.model import Rate
    from campaign.sendlog.aggregates import Aggregates

#: Limits over a longer window are budgets, not rates for a chart.
_LONGEST_DRAWN = timedelta(minutes=1)
#: Shortens the log's windows: they include both ends, while those of a rate limit exclude one.
_HALF_OPEN_FACTOR = 0.999
#: The number of domains whose limits are compared.
_MAX_DOMAINS = 20


class DrawnLimit(NamedTuple):
    """One declared rate, and the largest number of events in any window of its length."""

    #: `messages`, `tokens`, or a domain.
    what: str
    rate: Rate
    #: The largest number in any window, over all campaigns in the log.
    fullest: int

    @property
    def share(self) -> float:
        """The share of the limit that was used in the busiest window."""
        return self.fullest / self.rate.count


def drawn(rate: Rate) -> bool:
    """Return whether a chart can show this rate as a line."""
    return rate.period <= _LONGEST_DRAWN


def limits_of(log: Aggregates, definition: Definition, token_rates: tuple[Rate, ...]) -> tuple[DrawnLimit, ...]:
    """Return each limit of the campaign file, and Clerk's own, with the number in its busiest window."""
    found = [
        DrawnLimit("messages", rate, log.fullest(Status.SENDING, rate.period * _HALF_OPEN_FACTOR))
        for rate in definition.limits.messages
    ]
    if needs_clerk(definition):
        found += [
            DrawnLimit("tokens", rate, log.fullest(Status.ISSUING, rate.period * _HALF_OPEN_FACTOR))
            for rate in token_rates
        ]
    by_period: dict[timedelta, dict[str, Rate]] = defaultdict(dict)
    for domain, rates in list(definition.limits.domains.items())[:_MAX_DOMAINS]:
        for rate in rates:
            by_period[rate.period][domain] = rate
    for period, domains in by_period.items():
        fullest = log.fullest_of(domains, period * _HALF_OPEN_FACTOR)
        found += [DrawnLimit(domain, rate, fullest.get(domain, 0)) for domain, rate in domains.items()]
    return tuple(found)
