"""How many deliveries run at once: enough to reach the rate at the measured latency, and not many more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.delivery.concurrency import Concurrency, LatencyEstimate

seconds = st.floats(0.0, 600.0)


def measured(concurrency: Concurrency, *, token: float, transaction: float) -> Concurrency:
    """Return `concurrency` after enough measurements that its initial values no longer count."""
    for _ in range(200):
        concurrency.token.note(token)
        concurrency.transaction.note(transaction)
    return concurrency


@given(st.one_of(st.none(), st.floats(0.001, 1e5)), st.integers(1, 500), st.booleans(), seconds, seconds)
def test_the_number_is_always_of_use(
    rate: float | None,
    connections: int,
    with_token: bool,
    token: float,
    transaction: float,
) -> None:
    """Whatever latencies were measured, the limit is at least 2 and at most 1000 deliveries."""
    concurrency = Concurrency(rate=rate, connections=connections, with_token=with_token)
    assert 2 <= measured(concurrency, token=token, transaction=transaction).max_deliveries <= 1000


@pytest.mark.parametrize(
    ("rate", "connections", "token", "transaction"),
    [(40.0, 10, 0.150, 0.200), (14.0, 10, 0.100, 0.200), (100.0, 50, 0.150, 0.400), (1000.0, 300, 0.2, 0.2)],
)
def test_there_are_enough_for_the_rate(rate: float, connections: int, token: float, transaction: float) -> None:
    """At least rate times latency deliveries run at once (Little's law), so a slow network does not lower the rate."""
    concurrency = Concurrency(rate=rate, connections=connections, with_token=True)
    assert measured(concurrency, token=token, transaction=transaction).max_deliveries >= rate * (token + transaction)


def test_slow_commits_of_intents_make_more_of_them() -> None:
    """The time from a permit to the dot counts, too: a log in a database may take longer than the mail server."""
    concurrency = measured(Concurrency(rate=600.0, connections=50, with_token=False), token=0.0, transaction=0.001)
    before = concurrency.max_deliveries
    for _ in range(200):
        concurrency.intent.note(0.020)
    assert before < 600.0 * 0.021 <= concurrency.max_deliveries


def test_there_are_not_many_more_than_the_rate_needs() -> None:
    """With a low rate and a fast network few deliveries run at once, so that tokens do not age in a queue."""
    concurrency = Concurrency(rate=14.0, connections=10, with_token=True)
    assert measured(concurrency, token=0.02, transaction=0.02).max_deliveries <= 4


def test_without_a_rate_the_connections_decide() -> None:
    """Without a rate limit there are two deliveries per connection: one being sent and one ready."""
    concurrency = Concurrency(rate=None, connections=10, with_token=False)
    assert measured(concurrency, token=0.0, transaction=0.02).max_deliveries >= 20


def test_slow_tokens_make_more_of_them() -> None:
    """If getting a token takes longer than sending a message, more deliveries run, to keep the connections busy."""
    fast, slow = (Concurrency(rate=None, connections=10, with_token=True) for _ in range(2))
    measured(fast, token=0.02, transaction=0.05)
    measured(slow, token=0.50, transaction=0.05)
    assert slow.max_deliveries >= 10 * (1 + 0.50 / 0.05) > fast.max_deliveries


def test_a_queue_of_our_own_making_is_not_made_longer() -> None:
    """Token calls that are slow only because many run at once do not raise the number of deliveries further."""
    concurrency = measured(
        Concurrency(rate=None, connections=10, with_token=True),
        token=0.005,
        transaction=0.02,
    )
    before = concurrency.max_deliveries
    measured(concurrency, token=3.0, transaction=0.02)
    assert concurrency.max_deliveries <= 2 * before


def test_the_latency_follows_what_is_measured() -> None:
    """The mean latency moves toward the measurements, and a single outlier changes it little."""
    latency = LatencyEstimate()
    for _ in range(100):
        latency.note(0.05)
    assert latency.seconds == pytest.approx(0.05, rel=0.01)
    latency.note(10.0)
    assert latency.seconds < 1.1


def test_more_calls_at_once_than_are_of_use_are_not_made() -> None:
    """Few token calls run at once if the server answers at once, and up to 100 if it is far away or became slow."""
    near, far = (Concurrency(rate=None, connections=10, with_token=True) for _ in range(2))
    assert measured(near, token=0.002, transaction=0.02).max_token_calls <= 5
    for each in (far, near):
        for _ in range(3):
            measured(each, token=0.2, transaction=0.02)
        assert each.max_token_calls == 100


def test_the_first_slow_answers_open_no_crowd_of_connections() -> None:
    """The limit on parallel token calls grows with the number of answers, and does not jump after one slow answer."""
    concurrency = Concurrency(rate=None, connections=10, with_token=True)
    for number in range(20):
        concurrency.token.note(0.5)
        assert concurrency.max_token_calls <= 5 + number // 4
