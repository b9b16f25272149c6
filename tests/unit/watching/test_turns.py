"""A large CSV is read while nothing is sent, and small ones beside what is sent."""

from __future__ import annotations

import asyncio

import pytest

from campaign.watching.turns import Turns
from support.fake_clock import settled


def test_a_large_csv_waits_for_the_senders_and_holds_new_ones() -> None:
    """A reader alone pauses the senders, waits for the last of them, and lets them go on afterwards."""

    async def play() -> list[str]:
        turns, happened, stopped = Turns(), list[str](), asyncio.Event()

        async def send(name: str) -> None:
            async with turns.sending():
                happened.append(f"{name} sends")
                await stopped.wait()
            happened.append(f"{name} ended")

        async def read() -> None:
            async with turns.reading(alone=True, pause=lambda: happened.append("pause")):
                happened.append("reads")
                await settled()
                happened.append("has read")

        async with asyncio.TaskGroup() as group:
            group.create_task(send("a"))
            await settled()
            group.create_task(read())
            await settled()
            group.create_task(send("b"))
            await settled()
            assert happened == ["a sends", "pause"]
            stopped.set()
        return happened

    assert asyncio.run(play()) == ["a sends", "pause", "a ended", "reads", "has read", "b sends", "b ended"]


def test_a_small_csv_is_read_beside_what_is_sent() -> None:
    """A reader that need not be alone neither waits for senders nor pauses them."""

    async def play() -> None:
        turns = Turns()
        reading = turns.reading(alone=False, pause=lambda: pytest.fail("paused"))
        async with turns.sending(), reading, turns.sending():
            pass

    asyncio.run(play())


def test_a_reader_that_is_cancelled_lets_the_senders_go_on() -> None:
    """A reader that is cancelled while it waits leaves the way free."""

    async def play() -> None:
        turns = Turns()

        async def read() -> None:
            async with turns.reading(alone=True, pause=lambda: None):
                pytest.fail("it waits for the sender")

        async with turns.sending():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await read()
        async with turns.sending():
            pass

    asyncio.run(play())
