"""Retry decisions: how often and after which delay a row is tried again, and which faults cost it an attempt."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.retry import Backoff, RetryPolicy, outcome_of
from campaign.errors import DeliveryError, PermanentError, Scope, TransientError, UncertainError
from campaign.model import LONGEST_WAIT, Delivery, Rate, Receipt, Recipient, Status
from support.fake_clock import FakeClock

NOW = 1_750_000_000.0
HOUR = LONGEST_WAIT.total_seconds()
REPLY = Receipt(451, "4.7.1", "try again later")
POLICY = RetryPolicy(attempts=5, first_delay=timedelta(seconds=30))


def delivery(*, faults: int = 0) -> Delivery:
    """Return a row that already had `faults` temporary faults."""
    recipient = Recipient("user_1", "ada@example.com", "user_1", {}, 2)
    return Delivery(1, recipient, attempts=7, faults=faults, generation=3)


@given(st.integers(1, 200), st.floats(0.001, HOUR))
def test_each_fault_doubles_the_wait_up_to_an_hour(faults: int, first: float) -> None:
    """The delay doubles with each fault up to an hour; it is never shorter than declared and at most a fifth longer."""
    policy = RetryPolicy(first_delay=timedelta(seconds=first))
    first = policy.first_delay.total_seconds()
    declared = min(HOUR, first * 2.0 ** (faults - 1))
    assert declared <= policy.delay(faults) <= min(HOUR, declared * 1.2)


def test_those_who_failed_together_come_back_apart() -> None:
    """Rows that failed at the same time get different delays (jitter)."""
    assert len({POLICY.delay(1) for _ in range(20)}) > 10


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (UncertainError("no reply to the final dot", reply=REPLY), Status.UNCERTAIN, "no reply to the final dot"),
        (PermanentError("no such mailbox", reply=REPLY), Status.FAILED, "no such mailbox"),
        (PermanentError("Clerk has no such user", skip=True, reply=REPLY), Status.SKIPPED, "Clerk has no such user"),
        (TransientError("greylisted", reply=REPLY), Status.QUEUED, "greylisted"),
        (TransientError("closing", scope=Scope.SERVER, reply=REPLY), Status.QUEUED, "closing"),
    ],
)
def test_a_fault_has_one_fate(error: DeliveryError, status: Status, reason: str) -> None:
    """Each kind of fault puts the row into one state, with the reason and the server's words."""
    outcome = outcome_of(error, delivery(), POLICY, now=NOW, paused_until=0.0)
    assert (outcome.status, outcome.reason, outcome.reply) == (status, reason, REPLY)


@pytest.mark.parametrize(("faults", "least"), [(0, 30.0), (1, 60.0), (2, 120.0), (3, 240.0)])
def test_a_fault_of_the_row_costs_an_attempt(faults: int, least: float) -> None:
    """A temporary fault of the row itself counts as an attempt, and each further delay is longer."""
    outcome = outcome_of(TransientError("greylisted"), delivery(faults=faults), POLICY, now=NOW, paused_until=0.0)
    assert outcome.faults == faults + 1
    assert least <= outcome.not_before - NOW <= least * 1.2


def test_attempts_are_used_up() -> None:
    """When the last allowed attempt fails, the row becomes `failed`, with the number of attempts and the reason."""
    outcome = outcome_of(TransientError("greylisted"), delivery(faults=4), POLICY, now=NOW, paused_until=0.0)
    assert outcome.status is Status.FAILED
    assert outcome.reason == "given up after 5 attempts: greylisted"


@pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.RECIPIENT])
def test_a_fault_of_a_service_costs_no_attempt(scope: Scope) -> None:
    """A fault of a service does not count as an attempt of the row, however many attempts it had."""
    outcome = outcome_of(
        TransientError("down", scope=scope), delivery(faults=4), POLICY, now=NOW, paused_until=NOW + 50
    )
    assert (outcome.status, outcome.faults, outcome.not_before) == (Status.QUEUED, 4, NOW + 50)


def test_a_hold_that_is_over_makes_nobody_wait() -> None:
    """If the pause is already over, the row is due now and not in the past."""
    error = TransientError("down", scope=Scope.SERVER)
    assert outcome_of(error, delivery(), POLICY, now=NOW, paused_until=NOW - 50).not_before == NOW


@pytest.mark.parametrize(("asked", "waits"), [(7.0, 7.0), (0.0, 0.0), (10.0**8, HOUR)])
def test_a_wait_that_was_asked_for_is_kept_up_to_an_hour(asked: float, waits: float) -> None:
    """If the server asks for a wait, the row waits that long, but at most an hour."""
    error = TransientError("slow down", wait=timedelta(seconds=asked))
    assert outcome_of(error, delivery(), POLICY, now=NOW, paused_until=0.0).not_before == NOW + waits


@pytest.mark.parametrize("faults", [0, 4])
def test_a_possible_orphan_is_not_forgotten(*, faults: int) -> None:
    """That a token may exist is recorded whether the row is tried again or has failed."""
    error = TransientError("the answer was lost", maybe_applied=True)
    assert outcome_of(error, delivery(faults=faults), POLICY, now=NOW, paused_until=0.0).possible_orphan


def test_a_service_is_left_alone_longer_each_time() -> None:
    """Each fault in a row doubles the pause of a service, and a success resets it."""
    backoff = Backoff(POLICY)
    waits = [backoff.failed(None) for _ in range(9)]
    assert all(30 * 2**n <= wait <= 36 * 2**n for n, wait in enumerate(waits[:7]))
    assert waits[7:] == [HOUR, HOUR]
    backoff.succeeded()
    assert backoff.failed(None) <= 36


@pytest.mark.parametrize(("asked", "waits"), [(3.0, 3.0), (10.0**8, HOUR)])
def test_a_service_says_itself_how_long(asked: float, waits: float) -> None:
    """A wait that the service names replaces the program's own, and is capped at an hour."""
    assert Backoff(POLICY).failed(timedelta(seconds=asked)) == waits


def test_a_wait_of_nothing_is_none() -> None:
    """A service that names a wait of zero (`Retry-After: 0`, a past date) gets the program's own growing pauses."""
    backoff = Backoff(POLICY)
    waits = [backoff.failed(timedelta(0)) for _ in range(3)]
    assert all(30 * 2**n <= wait <= 36 * 2**n for n, wait in enumerate(waits))
    limiter = RateLimiter([], FakeClock(NOW))
    ends = {backoff.back_off(limiter, TransientError("429", wait=timedelta(0))) for _ in range(100)}
    assert len(ends) == 1


def test_what_fails_together_is_one_fault() -> None:
    """A hundred faults while a service is paused count as one fault and do not lengthen the pause."""
    limiter = RateLimiter([Rate.parse("10/second")], FakeClock(NOW))
    backoff = Backoff(POLICY)
    ends = {backoff.back_off(limiter, TransientError("503")) for _ in range(100)}
    assert len(ends) == 1
    assert 30 <= ends.pop() - NOW <= 36


def test_a_longer_wait_that_is_asked_for_during_a_rest_counts() -> None:
    """If a service asks for a longer wait while it is paused, the pause is extended."""
    limiter = RateLimiter([], FakeClock(NOW))
    backoff = Backoff(POLICY)
    backoff.back_off(limiter, TransientError("503"))
    assert backoff.back_off(limiter, TransientError("429", wait=timedelta(seconds=500))) == NOW + 500
    assert backoff.back_off(limiter, TransientError("429", wait=timedelta(seconds=1))) == NOW + 500
