"""Run the scripted Clerk Backend API, with its listening socket and connections: `ClerkServer`.

As a process: `python -m support.servers.clerk --record FILE [--script FILE] [--port N] [--sync]`. It prints a line of
JSON with the port once it listens, and ends when its standard input ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from support.servers.background import Background, serve_as_process
from support.servers.clerk_api import Api
from support.servers.clerk_http import HttpConnection
from support.servers.clerk_script import ClerkScript
from support.servers.record import Record
from support.servers.script import Director

if TYPE_CHECKING:
    from pathlib import Path


class ClerkService:
    """A Clerk instance in a running event loop."""

    def __init__(self, script: ClerkScript | None, record: Record) -> None:
        self._script = script or ClerkScript()
        self._record = record
        self._connections: set[HttpConnection] = set()
        self.api = Api(self._script, record)
        self.errors: list[BaseException] = []
        self.facts: dict[str, str] = {}

    async def start(self, port: int) -> int:
        """Listen on 127.0.0.1 and return the port."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.errors.append(_problem(context)))
        director = Director(self._script.faults, seed=self._script.seed)

        def connection() -> HttpConnection:
            made = HttpConnection(self._script, self.api, director, self._record, self._connections.discard)
            self._connections.add(made)
            return made

        self._server = await loop.create_server(connection, "127.0.0.1", port, backlog=512)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close all connections, then return."""
        self._server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        await self._server.wait_closed()


def _problem(context: dict[str, object]) -> BaseException:
    found = context.get("exception")
    return found if isinstance(found, BaseException) else RuntimeError(str(context.get("message")))


class ClerkServer(Background):
    """A Clerk instance in a thread: `with ClerkServer(ClerkScript(…)) as server`."""

    def __init__(
        self,
        script: ClerkScript | None = None,
        *,
        record: Path | None = None,
        port: int = 0,
        sync: bool = False,
    ) -> None:
        log = Record(record, server="clerk", sync=sync)
        self._clerk = ClerkService(script, log)
        super().__init__(self._clerk, log, port=port)

    @property
    def url(self) -> str:
        """The value for CLERK_API_URL."""
        return f"http://127.0.0.1:{self.port}"

    def use(self, token_id: str) -> bool:
        """Sign in with a token, which uses it up; return whether that succeeded."""
        return self._clerk.api.use(token_id)

    def join(self, user_id: str, address: str) -> None:
        """Put somebody on the waitlist, behind all others."""
        self._clerk.api.users.join(user_id, address)

    def leave(self, user_id: str) -> None:
        """Delete an entry of the waitlist."""
        self._clerk.api.users.leave(user_id)

    def see(self, user_id: str, **when: float) -> None:
        """Let a user be seen: `last_sign_in_at`, `last_active_at`, in seconds since the epoch."""
        self._clerk.api.users.seen[user_id] = {name: int(at * 1000) for name, at in when.items()}


if __name__ == "__main__":
    serve_as_process(ClerkService, "clerk")
