"""Serve each connection with one coroutine, in a running event loop: `StreamService`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


class StreamService(ABC):
    """Listens on 127.0.0.1; a subclass answers in `converse`.

    Args:
        context: for TLS; None for plain connections.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        #: What `converse` raised, to be raised in the test's thread.
        self.errors: list[BaseException] = []
        self.facts: dict[str, str] = {}

    @abstractmethod
    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes on one connection, until it ends."""

    async def start(self, port: int) -> int:
        """Listen on 127.0.0.1 and return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self._context)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close all connections, then return."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # a task that ends as cancelled is a warning of asyncio's streams (Python 3.11)
        except Exception as error:  # noqa: BLE001 - raised in the test's thread
            self.errors.append(error)
        finally:
            self._tasks.discard(task)
            writer.close()
