"""Run a small TCP server in its own process, and print its record at the end.

The server writes `{"port": N}` as its first line, serves until its standard input ends, and then writes its record
as one line of JSON. So it cannot outlive the benchmark that started it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def serve(protocol: Callable[[], asyncio.Protocol], record: Callable[[], dict[str, Any]]) -> None:
    """Serve on a free port of 127.0.0.1 until standard input ends, then write the record."""
    asyncio.run(_serve(protocol, record))


async def _serve(protocol: Callable[[], asyncio.Protocol], record: Callable[[], dict[str, Any]]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
    _write({"port": server.sockets[0].getsockname()[1]})
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()
    _write(record())


def _write(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
