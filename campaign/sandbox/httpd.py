"""Serve HTTP, by default on loopback: `HttpServer` (uvicorn without logging), `PageServer` in a thread, `listen`."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal, Self

import uvicorn

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import ASGIApp

#: The only address that the sandbox listens on.
HOST = "127.0.0.1"

#: The listening socket's backlog.
BACKLOG = 512

#: Seconds that an idle HTTP connection stays open: long, so that no client reuses a connection just closed.
_KEEP_ALIVE_S = 3600

#: Seconds for open requests to finish when the server stops.
_SHUTDOWN_TIMEOUT_S = 2


# Without a handler Python prints uvicorn's warnings, such as that of an invalid request, between the program's lines.
logging.getLogger("uvicorn").addHandler(logging.NullHandler())


class HttpServer(uvicorn.Server):
    """uvicorn without logging; `started` is resolved when it is ready.

    Args:
        app: the application.
        started: gets its result when the server is ready.
        connection: the protocol of each connection; by default uvicorn's own.
    """

    def __init__(
        self, app: ASGIApp, started: Future[None], connection: type[asyncio.Protocol] | Literal["auto"] = "auto"
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=connection,
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
        """Start to serve, and resolve `started`."""
        await super().startup(sockets)
        self._told.set_result(None)


class PageServer:
    """Serve an application in a thread while the block runs, by default on a free loopback port.

    Args:
        app: the application.
        listener: a listening socket.
        connection: the protocol of each connection; by default uvicorn's own.

    Attributes:
        url: `http://127.0.0.1:PORT`; set inside the block.
    """

    url: str

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket | None = None,
        connection: type[asyncio.Protocol] | Literal["auto"] = "auto",
    ) -> None:
        self._listener = listener
        self._started: Future[None] = Future()
        self._server = HttpServer(app, self._started, connection)

    async def __aenter__(self) -> Self:
        """Start to serve."""
        listener = self._listener or listen(0)
        host, port, *_ = listener.getsockname()
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
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


def listen(port: int, host: str = HOST) -> socket.socket:
    """Return a socket that listens on a port, by default of loopback; 0 chooses a free port.

    Raises:
        OSError: the port is not available; `filename` names it.
    """
    # asyncio disables Nagle's algorithm only if the protocol is given; with it, responses take 40 ms.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Allows a port in TIME_WAIT to be used again.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.settimeout(0)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror or os.strerror(error.errno or 0), f"{host}:{port}") from error
    return listener
