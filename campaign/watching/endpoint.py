"""Answer `GET /healthz` and `GET /metrics` beside a watch, on loopback only: `serve`.

The server runs in a thread with an event loop of its own, so that a scrape does not hold up the sending, and a watch
that hangs still says so.
"""

from __future__ import annotations

import asyncio
import errno
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from campaign.clock import SystemClock
from campaign.errors import SettingsError
from campaign.sandbox.httpd import PageServer, listen
from campaign.sandbox.loopback import LoopbackOnly
from campaign.watching.exposition import CONTENT_TYPE, Exposition

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from campaign.watching.health import Health
    from campaign.watching.metrics import Metrics

#: Seconds from a connection's beginning to its end, whatever its client does; a scrape takes milliseconds.
CONNECTION_LIFETIME_S = 10.0
#: Connections at once; a further one is closed. A Prometheus server keeps one.
MAX_CONNECTIONS = 100
#: Seconds between two answers, so that a flood of requests costs the sending a few percent of its time at most.
REST_S = 0.02
#: A connection carries one request, so that it never ends in the middle of a second one.
_HEADERS = {"Connection": "close", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@asynccontextmanager
async def serve(port: int, metrics: Metrics, health: Health) -> AsyncIterator[str]:
    """Answer `/healthz` and `/metrics` while the block runs; yield the origin, `http://127.0.0.1:PORT`.

    Args:
        port: the port on 127.0.0.1; 0 chooses a free one.
        metrics: the numbers to show.
        health: what the watch says of itself.

    Raises:
        SettingsError: the port cannot be used, or prometheus-client is not installed.
    """
    app = application(metrics, health)
    async with PageServer(app, _listener(port), _BriefConnection) as server:
        yield server.url


def application(metrics: Metrics, health: Health) -> ASGIApp:
    """Return the application: `/healthz`, `/metrics`, and `/`, which says what this is.

    Raises:
        SettingsError: prometheus-client is not installed.
    """
    exposition = Exposition(metrics)
    turn, clock = asyncio.Lock(), SystemClock()

    async def wait_for_turn() -> None:
        async with turn:
            await clock.sleep(REST_S)

    async def about(_: Request) -> Response:
        return PlainTextResponse("campaign watch answers at /healthz and /metrics.\n", headers=_HEADERS)

    async def healthz(_: Request) -> Response:
        await wait_for_turn()
        report = health.report()
        body = {"status": report.status} | ({"campaigns": dict(report.campaigns)} if report.campaigns else {})
        return JSONResponse(body, 200 if report.is_ok else 503, _HEADERS)

    async def scrape(_: Request) -> Response:
        await wait_for_turn()
        return Response(exposition.text(clock.now()), headers=_HEADERS, media_type=CONTENT_TYPE)

    routes = [Route("/", about), Route("/healthz", healthz), Route("/metrics", scrape)]
    return LoopbackOnly(Starlette(routes=routes), "A watch")


def _listener(port: int) -> socket.socket:
    try:
        return listen(port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"{error.filename} is in use, perhaps by another watch: end it, or choose another number for --port."
            ) from error
        raise SettingsError(
            f"{error.filename} cannot be used ({error.strerror}): choose another number for --port."
        ) from error


class _BriefConnection(H11Protocol):
    """A connection that ends in time: a client that sends or reads slowly, or not at all, cannot use up descriptors."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many connections."""
        self._end = self.loop.call_later(CONNECTION_LIFETIME_S, transport.abort)
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._end.cancel()
        super().connection_lost(exc)
