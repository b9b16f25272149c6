"""The clocks: real time, and time that passes faster and stands still on request."""

from __future__ import annotations

import asyncio
import time

import pytest

from campaign.clock import ScaledClock, ServerClock, SystemClock
from support.fake_clock import FakeClock

START = 1_798_099_200.0  # 2026-12-24T08:00Z


def test_the_system_clock_shows_the_present() -> None:
    """The machine's time passes once as fast as it does."""
    clock = SystemClock()
    assert clock.now() == pytest.approx(time.time(), abs=1.0)
    assert clock.speed == 1.0


def test_a_scaled_clock_begins_at_its_start_and_passes_faster() -> None:
    """An hour passes in a second, counted from the given instant."""
    clock = ScaledClock(START, 3600.0)
    began = time.monotonic()
    asyncio.run(clock.sleep(180.0))
    took = time.monotonic() - began
    assert took >= 0.05
    assert clock.now() - START == pytest.approx(took * 3600, abs=100.0)


def test_a_held_clock_stands_still() -> None:
    """Between `hold` and `release` no time passes, and then it goes on from there."""
    clock = ScaledClock(START, 1_000_000.0)
    clock.hold()
    shown = clock.now()
    time.sleep(0.01)  # noqa: TID251 - real time passes
    assert clock.now() == shown
    clock.release()
    time.sleep(0.01)  # noqa: TID251 - real time passes
    assert clock.now() > shown + 5_000


def test_a_wait_ends_early_when_the_event_is_set() -> None:
    """A simulated day's wait ends when the event is set, or after its scaled time."""

    async def waits() -> tuple[bool, bool]:
        clock, event = ScaledClock(START, 86_400.0), asyncio.Event()
        never = await clock.wait(event, 1_000.0)
        event.set()
        return never, await clock.wait(event, 1e9)

    assert asyncio.run(waits()) == (False, True)


def test_a_server_clock_follows_the_server() -> None:
    """It shows the machine's time until it is measured, and then the server's, however wrong the machine is."""
    machine = FakeClock(START)
    clock = ServerClock(machine)
    assert clock.now() == START

    def answer() -> float:
        machine.jump(4.0)  # the round trip
        return START - 598.0

    clock.measure(answer)
    assert clock.now() == START + 4.0 - 600.0
    assert clock.machine_ahead_s == 600.0
    clock.measure(lambda: clock.now() + 0.04)
    assert clock.machine_ahead_s == 600.0, "as exact as can be measured"


def test_a_server_clock_never_runs_backwards() -> None:
    """If it was ahead, it passes half as fast until it is right; if it was behind, it is right at once."""
    machine = FakeClock(START)
    clock = ServerClock(machine)
    clock.measure(lambda: START)
    clock.measure(lambda: START - 10.0)
    assert clock.now() == START
    machine.jump(10.0)
    assert clock.now() == START + 5.0
    clock.measure(lambda: START)
    assert clock.now() == START + 5.0
    machine.jump(30.0)
    assert clock.now() == START + 30.0
    clock.measure(lambda: START + 300.0)
    assert clock.now() == START + 300.0
