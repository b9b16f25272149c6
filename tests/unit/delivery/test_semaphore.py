"""A room lets a few in at a time, in the order in which they came, and follows a size that changes."""

from __future__ import annotations

import asyncio

from campaign.delivery.semaphore import ResizableSemaphore
from support.fake_clock import settled


class Visit:
    """People in a room of a size that can be changed, and who came in when."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.room = ResizableSemaphore(lambda: self.size)
        self.inside: list[int] = []
        self.came: list[int] = []
        self._leave = [asyncio.Event() for _ in range(20)]

    async def visit(self, who: int) -> None:
        """Go in, and stay until `leave`."""
        async with self.room:
            self.came.append(who)
            self.inside.append(who)
            await self._leave[who].wait()
            self.inside.remove(who)

    async def leave(self, who: int) -> None:
        """Let somebody go."""
        self._leave[who].set()
        await settled()


def test_a_few_at_a_time_in_their_order() -> None:
    """No more are inside than there is room for, and whoever came first goes in first."""

    async def run() -> None:
        visit = Visit(2)
        async with asyncio.TaskGroup() as group:
            for who in range(6):
                group.create_task(visit.visit(who))
            await settled()
            for gone in range(6):
                assert visit.inside == list(range(gone, min(gone + 2, 6)))
                await visit.leave(gone)
        assert visit.came == list(range(6))

    asyncio.run(run())


def test_the_size_may_change() -> None:
    """A room that grew lets more in when somebody leaves; one that shrank lets nobody in until there is room."""

    async def run() -> None:
        visit = Visit(1)
        async with asyncio.TaskGroup() as group:
            for who in range(6):
                group.create_task(visit.visit(who))
            await settled()
            visit.size = 3
            await visit.leave(0)
            assert visit.inside == [1, 2, 3]
            visit.size = 1
            await visit.leave(1)
            await visit.leave(2)
            assert visit.inside == [3]
            for who in (3, 4, 5):
                await visit.leave(who)

    asyncio.run(run())


def test_whoever_gives_up_takes_no_room() -> None:
    """One who is cancelled while waiting, or in the moment of coming in, leaves the room to the others."""

    async def run() -> None:
        visit = Visit(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(visit.visit(0))
            await settled()
            waiting, coming = (group.create_task(visit.visit(who)) for who in (1, 2))
            last = group.create_task(visit.visit(3))
            await settled()
            waiting.cancel()
            await settled()
            visit._leave[0].set()  # noqa: SLF001 - so that nothing happens in between
            while visit.inside == [0]:  # noqa: ASYNC110 - the very next turn counts
                await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop at a time
            coming.cancel()
            await settled()
            assert visit.came == [0, 3]
            await visit.leave(3)
            await last
        assert waiting.cancelled()
        assert coming.cancelled()

    asyncio.run(run())
