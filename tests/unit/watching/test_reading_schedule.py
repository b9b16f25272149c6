"""Recipients are read when a CSV has changed, and Clerk's waitlist every few minutes."""

from __future__ import annotations

from campaign.clock import ScaledClock
from campaign.model import NEVER
from campaign.watching.reading_schedule import WAITLIST_EVERY_S, ReadingSchedule
from support.fake_clock import FakeClock


def test_a_csv_is_read_at_most_a_tenth_of_the_time() -> None:
    """A CSV that changes all the time is read again when nine times the time of its reading has passed."""
    clock = FakeClock()
    reading = ReadingSchedule(clock)
    assert reading.next_at <= clock.now(), "at once when a watch begins"
    reading.done(took=20.0, is_waitlist=False)
    assert reading.next_at == NEVER
    reading.is_wanted = True
    assert reading.next_at == clock.now() + 180.0


def test_the_waitlist_is_read_every_few_minutes() -> None:
    """Nobody says that the waitlist has changed, so it is asked for."""
    clock = FakeClock()
    reading = ReadingSchedule(clock)
    reading.done(took=0.0, is_waitlist=True)
    assert reading.next_at == clock.now() + WAITLIST_EVERY_S
    reading.failed(is_half=False, try_waitlist_in=30.0)
    assert reading.next_at == clock.now() + 30.0


def test_a_fast_simulation_reads_the_waitlist_every_other_second_of_the_machine() -> None:
    """In a simulation of a day in a second the waitlist is not read hundreds of times a second."""
    clock = ScaledClock(1_750_000_000.0, 86_400.0)
    clock.hold()
    reading = ReadingSchedule(clock)
    reading.done(took=0.0, is_waitlist=True)
    assert reading.next_at == clock.now() + 2 * 86_400.0


def test_a_broken_csv_waits_for_its_change_and_a_half_one_is_looked_at_again() -> None:
    """Only a CSV that may become whole without a change that is seen is read again by itself."""
    clock = FakeClock()
    reading = ReadingSchedule(clock)
    reading.failed(is_half=False, try_waitlist_in=None)
    assert reading.next_at == NEVER
    reading.failed(is_half=True, try_waitlist_in=None)
    assert reading.next_at == clock.now() + 5.0
