"""Serving HTTP on loopback: the listening socket, uvicorn without a word, and pages in a thread of their own."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self

import uvicorn

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import ASGIApp

#: The one address that anything here listens on.
HOST = "127.0.0.1"

#: Connections that may wait to be accepted.
BACKLOG = 512

#: Seconds that an idle HTTP connection is kept: a client must not find one closed that it is about to use.
_KEEP_ALIVE_S = 3600

#: Seconds that answers under way get when the server stops.
_SHUTDOWN_TIMEOUT_S = 2


class HttpServer(uvicorn.Server):
    """uvicorn, silent, and telling when it is ready."""

    def __init__(self, app: ASGIApp, started: Future[None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_S,
            )
        )
        self._told = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and tell."""
        await super().startup(sockets)
        self._told.set_result(None)


class PageServer:
    """Serves an application on a free port of loopback while the block runs.

    Attributes:
        url: `http://127.0.0.1:PORT`; exists inside the block.
    """

    url: str

    def __init__(self, app: ASGIApp) -> None:
        self._started: Future[None] = Future()
        self._server = HttpServer(app, self._started)

    async def __aenter__(self) -> Self:
        """Begin to serve."""
        listener = listen(0)
        self.url = f"http://{HOST}:{listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, args=(listener,), name="campaign-pages", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(self._started)
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self._server.should_exit = True
        await asyncio.to_thread(self._thread.join)

    def _run(self, listener: socket.socket) -> None:
        try:
            with listener:
                asyncio.run(self._server.serve(sockets=[listener]))
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)


def listen(port: int) -> socket.socket:
    """Return a socket that listens on a port of loopback; 0 takes a free one.

    Raises:
        OSError: it cannot be had; `filename` names it.
    """
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it, answers take 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # A port that was left a moment ago may be taken again.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
        listener.settimeout(0)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, os.strerror(error.errno or 0), f"{HOST}:{port}") from error
    return listener
