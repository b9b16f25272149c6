"""A line to an HTTP server: one connection, kept, for one call at a time. h11 reads and writes what is said on it.

It takes the place of httpx's own transport: with its pool, locks and scopes a call costs twice as much.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import h11
import httpx

from campaign.ear import Ear

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

#: A connection that lay idle for longer (seconds) is not used again: the server may be closing it just now.
_KEPT = 5.0
#: Octets of a response's head.
_LARGEST_HEAD = 100_000


class Line(httpx.AsyncBaseTransport):
    """A transport that connects when it is first used, and anew when the server has closed.

    The time-outs of a request (its extension `timeout`) hold for connecting and for each wait for something to read.

    Args:
        url: any URL of the origin that all calls go to.
        tls: the context for an https origin.
    """

    def __init__(self, url: httpx.URL, tls: ssl.SSLContext | None) -> None:
        self._host = url.host
        self._port = url.port or (80 if tls is None else 443)
        self._tls = tls
        if tls is not None:
            tls.set_alpn_protocols(["http/1.1"])
        self._wire: _Wire | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response, whose stream is to be read and closed before the next call.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: nothing was asked.
            httpx.TransportError: whatever else; what was asked for may be done.
        """
        patience = request.extensions["timeout"]
        if self._wire is None or not self._wire.is_ready:
            await self.aclose()
            self._wire = await self._connected(patience["connect"])
        wire = self._wire
        try:
            wire.ask(request)
            event = await wire.event(patience["read"])
            while isinstance(event, h11.InformationalResponse):
                event = await wire.event(patience["read"])
        except BaseException:
            wire.close()
            raise
        assert isinstance(event, h11.Response)  # noqa: S101 - h11 lets nothing else begin an answer
        return httpx.Response(
            event.status_code,
            headers=list(event.headers),
            stream=_Body(wire, patience["read"]),
            extensions={"reason_phrase": event.reason},
        )

    async def aclose(self) -> None:
        """Close the connection."""
        if self._wire is not None:
            self._wire.close()

    async def _connected(self, seconds: float) -> _Wire:
        loop = asyncio.get_running_loop()
        name = None if self._tls is None else self._host
        try:
            async with asyncio.timeout(seconds):
                _, wire = await loop.create_connection(
                    _Wire, self._host, self._port, ssl=self._tls, server_hostname=name
                )
        except TimeoutError:
            raise httpx.ConnectTimeout(f"no connection within {seconds:g} s") from None
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        return wire


class _Wire(asyncio.Protocol):
    """A connection, and what h11 knows of the state of things on it."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGEST_HEAD)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._news = asyncio.Event()
        self._over = False
        self._lost: Exception | None = None
        self._idle_since = self._loop.time()

    @property
    def is_ready(self) -> bool:
        """Whether it may be asked something: the server has neither left nor spoken, as far as the machine knows."""
        is_idle = not self._over and self._http.our_state is h11.IDLE and self._ear.hears_nothing
        return is_idle and self._loop.time() - self._idle_since < _KEPT

    def ask(self, request: httpx.Request) -> None:
        """Write a whole request.

        Raises:
            httpx.LocalProtocolError: it is none.
        """
        http = self._http
        try:
            head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
            data = [http.send(head), http.send(h11.Data(data=request.content)), http.send(h11.EndOfMessage())]
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        self._transport.write(b"".join(part for part in data if part))

    async def event(self, seconds: float) -> h11.Event:
        """Return the next part of the answer; each may take so many seconds.

        Raises:
            httpx.ReadTimeout: it did not come.
            httpx.ReadError: the connection was lost.
            httpx.RemoteProtocolError: the server closed before the end, or what it says is not HTTP.
        """
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                if self._lost is not None:
                    raise httpx.ReadError(str(self._lost))
                self._news.clear()
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        except TimeoutError:
            raise httpx.ReadTimeout(f"nothing came within {seconds:g} s") from None
        except h11.RemoteProtocolError as error:
            if self._over and self._http.their_state is h11.ERROR:
                raise httpx.RemoteProtocolError("the server closed the connection before its answer's end") from error
            raise httpx.RemoteProtocolError(str(error)) from error
        assert not isinstance(event, type)  # noqa: S101 - nothing is paused: one request, one answer
        return event

    def done(self) -> None:
        """Make ready for the next call, or close: where the answer was not read to its end, or the server wants it."""
        http = self._http
        if http.our_state is h11.DONE and http.their_state is h11.DONE and not http.trailing_data[0]:
            http.start_next_cycle()
            self._idle_since = self._loop.time()
        else:
            self.close()

    def close(self) -> None:
        """Close the connection at once."""
        self._over = True
        self._transport.close()

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over."""
        self._transport = cast("asyncio.Transport", transport)
        self._ear = Ear(transport)

    def data_received(self, data: bytes) -> None:
        """Take in what the server says; what nobody asked for ends the connection, or it would answer the next call."""
        if self._http.our_state is h11.IDLE:
            self.close()
        else:
            self._http.receive_data(data)
            self._news.set()

    def eof_received(self) -> None:
        """The server closed."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, for whatever reason."""
        self._lost = exc
        self._end()

    def _end(self) -> None:
        self._over = True
        if self._lost is None:
            self._http.receive_data(b"")
        self._news.set()


class _Body(httpx.AsyncByteStream):
    """A response's body as it comes."""

    def __init__(self, wire: _Wire, patience: float) -> None:
        self._wire = wire
        self._patience = patience

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield its parts."""
        while isinstance(event := await self._wire.event(self._patience), h11.Data):
            yield bytes(event.data)

    async def aclose(self) -> None:
        """Let the line serve the next call."""
        self._wire.done()
