"""The circuit breaker: many deferrals in a row pause a domain, unless each of them is about a single mailbox."""

from __future__ import annotations

from datetime import timedelta

import pytest

from campaign.delivery.circuit_breaker import CircuitBreaker, PauseDomain
from campaign.delivery.retry import RetryPolicy
from campaign.errors import TransientError
from campaign.model import Delivery, Receipt
from support.sendlog_helpers import person

POLICY = RetryPolicy(5, timedelta(seconds=30))


def measures(reply: Receipt, number: int = 20) -> list[object]:
    """Return what the breaker decides after each of `number` deferrals in a row, for a domain that is not paused."""
    breaker = CircuitBreaker(POLICY)
    row = Delivery(1, person(1, domain="d.example"), attempts=1, faults=0, generation=1)
    return [breaker.refused(row, TransientError("later", reply=reply), already_paused=False) for _ in range(number)]


@pytest.mark.parametrize(
    "reply",
    [
        Receipt(452, "4.2.2", "Mailbox full"),
        Receipt(451, "4.2.1", "This account is over its limit for the hour"),
        Receipt(450, "", "Mailbox is full"),
        Receipt(452, "", "user is over quota"),
    ],
    ids=str,
)
def test_full_mailboxes_hold_no_domain(reply: Receipt) -> None:
    """Deferrals for full mailboxes never pause the domain, however many there are."""
    assert not any(measures(reply))


@pytest.mark.parametrize("reply", [Receipt(451, "4.7.1", "Come back later"), Receipt(450, "", "not now")], ids=str)
def test_a_domain_that_defers_everybody_is_held(reply: Receipt) -> None:
    """A few deferrals in a row that are not about a mailbox pause the domain, and each further pause is longer."""
    holds = [each.seconds for each in measures(reply) if isinstance(each, PauseDomain)]
    assert len(holds) > 3
    assert holds[0] <= 30 * 1.5
    assert holds[3] > 2 * holds[0]
