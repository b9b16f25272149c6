"""Who is to blame when many are deferred in a row: the domain, or each mailbox for itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from campaign.delivery.circuit_breaker import CircuitBreaker, PauseDomain
from campaign.delivery.retry import RetryPolicy
from campaign.errors import TransientError
from campaign.model import Receipt

POLICY = RetryPolicy(5, timedelta(seconds=30))


def measures(reply: Receipt, number: int = 20) -> list[object]:
    """Return what so many deferrals in a row call for, of a domain that is not held yet."""
    breaker = CircuitBreaker(POLICY)
    return [
        breaker.refused("d.example", TransientError("later", reply=reply), already_paused=False) for _ in range(number)
    ]


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
    """However many mailboxes of a domain are full, the others of it are not kept waiting."""
    assert not any(measures(reply))


@pytest.mark.parametrize("reply", [Receipt(451, "4.7.1", "Come back later"), Receipt(450, "", "not now")], ids=str)
def test_a_domain_that_defers_everybody_is_held(reply: Receipt) -> None:
    """A few deferrals in a row that are about no mailbox hold the domain, and each further one for longer."""
    holds = [each.seconds for each in measures(reply) if isinstance(each, PauseDomain)]
    assert len(holds) > 3
    assert holds[0] <= 30 * 1.5
    assert holds[3] > 2 * holds[0]
