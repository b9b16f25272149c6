"""Patience: a service that does not work is given up after five minutes, unless a message was sent before."""

from __future__ import annotations

from campaign.delivery.patience import PATIENCE_S, Patience
from campaign.errors import Scope
from support.fake_clock import FakeClock


def test_a_service_that_never_works_is_given_up_after_five_minutes() -> None:
    """The time counts from a service's first fault, for each service by itself."""
    clock = FakeClock()
    patience = Patience(clock, is_endless=False)
    assert PATIENCE_S == 300
    assert patience.seconds_left(Scope.SERVER) == 300
    clock.jump(200)
    assert patience.seconds_left(Scope.SERVER) == 100
    assert patience.seconds_left(Scope.CLERK) == 300
    clock.jump(200)
    assert patience.seconds_left(Scope.SERVER) == 0
    assert patience.seconds_left(Scope.CLERK) == 100


def test_a_service_that_works_again_has_all_its_time_again() -> None:
    """A success of a service starts its time again, and not that of another one."""
    clock = FakeClock()
    patience = Patience(clock, is_endless=False)
    patience.seconds_left(Scope.SERVER)
    patience.seconds_left(Scope.CLERK)
    clock.jump(299)
    patience.works(Scope.CLERK)
    clock.jump(10)
    assert patience.seconds_left(Scope.CLERK) == 300
    assert patience.seconds_left(Scope.SERVER) == 0


def test_a_run_that_has_sent_waits_as_long_as_it_takes() -> None:
    """After an accepted message, or if it was asked to, a run never gives up."""
    clock = FakeClock()
    patience, endless = Patience(clock, is_endless=False), Patience(clock, is_endless=True)
    patience.seconds_left(Scope.SERVER)
    clock.jump(10_000)
    patience.sent()
    assert patience.seconds_left(Scope.SERVER) is None
    assert endless.seconds_left(Scope.SERVER) is None
