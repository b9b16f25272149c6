"""A line to an HTTP server: one connection, kept, for one call at a time; httpx's model over httpcore's connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

#: httpx's own, for a connection that nobody used.
_KEPT = 5.0  # seconds


class Line(httpx.AsyncBaseTransport):
    """A transport that connects when it is first used, and anew when the server has closed.

    Not httpx's own transport: around each connection that has a pool, which costs a token a third of its call.

    Args:
        url: any URL of the origin that all calls go to.
        tls: the context for an https origin.
    """

    def __init__(self, url: httpx.URL, tls: ssl.SSLContext | None) -> None:
        self._origin = httpcore.Origin(url.raw_scheme, url.raw_host, url.port or (443 if url.scheme == "https" else 80))
        self._tls = tls
        self._connection = self._new()

    async def __aenter__(self) -> Self:
        """Connect to nothing yet."""
        return self

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response, whose stream is to be read and closed before the next call.

        Raises:
            httpx.TransportError: as httpx's own transport would raise it.
        """
        if self._connection.is_closed() or self._connection.has_expired():
            await self._connection.aclose()
            self._connection = self._new()
        url = httpcore.URL(
            scheme=self._origin.scheme, host=self._origin.host, port=self._origin.port, target=request.url.raw_path
        )
        try:
            response = await self._connection.handle_async_request(
                httpcore.Request(
                    request.method,
                    url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        except _FAULTS as error:
            raise _translated(error) from error
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Stream(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close the connection."""
        await self._connection.aclose()

    def _new(self) -> httpcore.AsyncHTTPConnection:
        return httpcore.AsyncHTTPConnection(self._origin, self._tls, keepalive_expiry=_KEPT)


class _Stream(httpx.AsyncByteStream):
    """A response's body as it comes."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield its parts."""
        try:
            async for part in self._response.aiter_stream():
                yield part
        except _FAULTS as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        """Give the connection back; it is closed if the body was not read to its end."""
        await self._response.aclose()


_FAULTS = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)


def _translated(error: Exception) -> httpx.TransportError:
    """Return httpx's error of the same name."""
    found = getattr(httpx, type(error).__name__, httpx.TransportError)
    return found(str(error))
