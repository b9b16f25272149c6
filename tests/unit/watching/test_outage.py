"""A service that is waited for without an end is an outage after a minute in which no message was accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from campaign.delivery.concurrency import LatencyEstimate
from campaign.delivery.outbound import Outbound
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.rate_limits import RateLimits
from campaign.watching.outage import FORGET_S, OUTAGE_S, Outage
from support.fake_clock import FakeClock

if TYPE_CHECKING:
    from campaign.smtp import Pool


@pytest.fixture
def clock() -> FakeClock:
    """A clock of the test."""
    return FakeClock()


@pytest.fixture
def outbound(clock: FakeClock) -> Outbound:
    """Limits without a rate, and no connection."""
    limits = RateLimits(RateLimiter((), clock), RateLimiter((), clock), {})
    return Outbound(cast("Pool", None), limits, 1, LatencyEstimate())


def test_a_server_that_cannot_be_reached_is_an_outage_after_a_minute(clock: FakeClock, outbound: Outbound) -> None:
    """Between two tries nothing is paused, and that is no success; an accepted message is one."""
    outage = Outage(outbound)
    began = clock.now()
    while clock.now() < began + OUTAGE_S:
        outbound.limits.messages.pause(10, "the server cannot be reached")
        assert outage.reason(clock.now()) == ""
        clock.set(clock.now() + 15)
    assert outage.reason(clock.now()) == "the server cannot be reached"
    outbound.latency.note(0.1)
    assert outage.reason(clock.now()) == ""


def test_pauses_between_accepted_messages_are_none(clock: FakeClock, outbound: Outbound) -> None:
    """A server that asks for a slower rate, and takes mail, works."""
    outage = Outage(outbound)
    for _ in range(20):
        outbound.limits.messages.pause(10, "454 too fast")
        assert outage.reason(clock.now()) == ""
        outbound.latency.note(0.1)
        clock.set(clock.now() + 11)
        assert outage.reason(clock.now()) == ""


def test_an_old_pause_is_forgotten(clock: FakeClock, outbound: Outbound) -> None:
    """A service that nobody needs for a while is not called broken for what was."""
    outage = Outage(outbound)
    outbound.limits.messages.pause(10, "421 closing")
    outage.reason(clock.now())
    clock.set(clock.now() + FORGET_S + 1)
    assert outage.reason(clock.now()) == ""
