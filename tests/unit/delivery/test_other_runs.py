"""Wait for the rows of other runs: while there are some, and not for ever if none of them ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from campaign.delivery.other_runs import OtherRuns
from campaign.sendlog import SendLog
from support.fake_clock import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0


class Held(SendLog):
    """A log in which other runs have rows, as a test says."""

    rows = 0
    queue_holds_s = 2.0

    async def held_by_others(self) -> int:
        """Return how many rows others have."""
        return self.rows


async def wait(others: OtherRuns, clock: FakeClock) -> bool:
    """Return what a wait returns, after the time that it takes."""
    task = asyncio.ensure_future(others.wait(asyncio.Event()))  # noqa: TID251 - the clock is the test's
    await clock.play(task)
    return task.result()


def test_a_run_waits_while_others_have_rows(tmp_path: Path) -> None:
    """It looks again soon, then every two seconds, says so once a minute, and goes on when they have none."""
    clock, told = FakeClock(), list[str]()
    log = Held(tmp_path / "send-log.db", "trial", clock)
    others = OtherRuns(log, clock, HOUR, lambda why, _: told.append(why))

    async def work() -> None:
        assert not await wait(others, clock)
        log.rows = 1200
        began, looked = clock.now(), []
        for _ in range(36):
            assert await wait(others, clock)
            looked.append(clock.now() - began)
        assert looked[:6] == pytest.approx([0.1, 0.3, 0.7, 1.5, 3.1, 5.1])
        assert looked[-1] == pytest.approx(65.1)
        assert told == ["other runs have 1,200 rows of this CSV in hand; see them with: campaign workers"] * 2
        log.rows, began = 1100, clock.now()
        assert await wait(others, clock)
        assert clock.now() == pytest.approx(began + 0.1), "the others go on, so they may end soon"
        log.rows = 0
        assert not await wait(others, clock)

    asyncio.run(work())
    log.close()


def test_a_run_does_not_wait_for_ever(tmp_path: Path) -> None:
    """When none of the others' rows was settled for the longest wait, it ends; with --no-wait at once."""
    clock = FakeClock()
    log = Held(tmp_path / "send-log.db", "trial", clock)
    log.rows = 2
    others = OtherRuns(log, clock, HOUR, lambda _why, _until: None)

    async def work() -> None:
        assert not await wait(OtherRuns(log, clock, 0.0, lambda _why, _until: None), clock)
        assert await wait(others, clock)
        clock.jump(HOUR - 3)
        assert await wait(others, clock)
        log.rows = 1
        clock.jump(3)
        assert await wait(others, clock), "one was settled"
        clock.jump(HOUR)
        assert not await wait(others, clock)

    asyncio.run(work())
    log.close()
