"""The resizable semaphore: FIFO order, and a limit that may change while tasks wait."""

from __future__ import annotations

import asyncio

from campaign.delivery.semaphore import ResizableSemaphore
from support.fake_clock import settled


class Visit:
    """Tasks that acquire a semaphore of changeable size; `inside` and `came` list them in order."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.room = ResizableSemaphore(lambda: self.size)
        self.inside: list[int] = []
        self.came: list[int] = []
        self._leave = [asyncio.Event() for _ in range(20)]

    async def visit(self, who: int) -> None:
        """Acquire the semaphore and keep it until `leave` is called."""
        async with self.room:
            self.came.append(who)
            self.inside.append(who)
            await self._leave[who].wait()
            self.inside.remove(who)

    async def leave(self, who: int) -> None:
        """Let one task release the semaphore."""
        self._leave[who].set()
        await settled()


def test_a_few_at_a_time_in_their_order() -> None:
    """Never more tasks are inside than the limit allows, and they enter in the order in which they asked."""

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
    """A higher limit admits more tasks at the next release; a lower one admits none until enough tasks have left."""

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
    """A task that is cancelled while it waits, or just as it enters, leaves its place to the next one."""

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
            while visit.inside == [0]:  # noqa: ASYNC110 - the task must be cancelled in the very next loop iteration
                await asyncio.sleep(0)  # noqa: TID251 - one iteration of the event loop
            coming.cancel()
            await settled()
            assert visit.came == [0, 3]
            await visit.leave(3)
            await last
        assert waiting.cancelled()
        assert coming.cancelled()

    asyncio.run(run())
