"""A TCP proxy that delivers every byte after a fixed delay, so that loopback has a round trip time.

Each direction is a queue of (time due, bytes) with one timer: chunks keep their order, and any number of
them is under way at once, as on a long wire. (A sleep per chunk would limit the throughput as well.)
"""

from __future__ import annotations

import argparse
import asyncio
from collections import deque
from typing import Any

from serve import serve

#: When this many bytes are under way in one direction, the source is not read.
_FULL = 4_000_000


class _Lane:
    """One direction of one connection."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[tuple[float, bytes | None]] = deque()
        self._held = 0
        self._armed = False
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None

    def put(self, data: bytes | None) -> None:
        """Deliver `data` after `delay` seconds; None is the end of the connection."""
        self._chunks.append((self._loop.time() + self._delay, data))
        self._held += len(data or b"")
        if self._held > _FULL and self.source:
            self.source.pause_reading()
        self.arm()

    def arm(self) -> None:
        """Set the timer for the oldest chunk if both ends are connected."""
        if self._chunks and self.sink and not self._armed:
            self._armed = True
            self._loop.call_at(self._chunks[0][0], self._deliver)

    def _deliver(self) -> None:
        self._armed = False
        sink, now = self.sink, self._loop.time()
        due = []
        ended = False
        while self._chunks and self._chunks[0][0] <= now:
            data = self._chunks.popleft()[1]
            if data is None:
                ended = True
            else:
                due.append(data)
        if sink and not sink.is_closing():
            if due:
                sink.write(b"".join(due))
            if ended:
                sink.close()
        was_full, self._held = self._held > _FULL, self._held - sum(map(len, due))
        if was_full and self._held <= _FULL and self.source and not self.source.is_closing():
            self.source.resume_reading()
        self.arm()


class _End(asyncio.Protocol):
    """One end of a connection: it puts the bytes that it receives into its lane."""

    def __init__(self, lane: _Lane) -> None:
        self._lane = lane

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport of the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._lane.source = transport

    def data_received(self, data: bytes) -> None:
        """Put the received bytes into the lane."""
        self._lane.put(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Put the end of the connection into the lane."""
        self._lane.put(None)


class DelayProxy(_End):
    """The client's end: it connects to the real server and joins the two lanes."""

    connections = 0
    peak = 0

    def __init__(self, port: int, delay: float) -> None:
        super().__init__(_Lane(delay))
        self._port, self._delay = port, delay
        self._dialling: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport and connect to the real server."""
        super().connection_made(transport)
        DelayProxy.connections += 1
        DelayProxy.peak = max(DelayProxy.peak, DelayProxy.connections)
        self._dialling = asyncio.ensure_future(self._connect())  # noqa: TID251 - not the program's task group

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        DelayProxy.connections -= 1
        super().connection_lost(exc)

    async def _connect(self) -> None:
        back = _Lane(self._delay)
        loop = asyncio.get_running_loop()
        there, _ = await loop.create_connection(lambda: _End(back), "127.0.0.1", self._port)
        back.sink, self._lane.sink = self._lane.source, there
        back.arm()
        self._lane.arm()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=int, required=True, help="the port of the real server")
    parser.add_argument("--delay", type=float, default=0.01, help="seconds each way")
    given = parser.parse_args()

    def record() -> dict[str, Any]:
        return {"peak_connections": DelayProxy.peak}

    serve(lambda: DelayProxy(given.to, given.delay), record)


if __name__ == "__main__":
    main()
