"""Pass TCP connections on from one address to another, in a process that any host can have: `RelayProcess`.

As a process: `python -m support.servers.relay FROM_HOST:PORT TO_HOST:PORT`. It prints a line once it listens, and ends
when its standard input ends.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from support import TESTS

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHUNK = 65_536


class RelayProcess:
    """A relay as a process: `with RelayProcess(("127.0.0.1", 25), ("198.19.0.1", 25)):`.

    Args:
        listens: host and port.
        server: the host and port to which each connection is passed on.
        by: runs the process, such as on another host.
    """

    def __init__(self, listens: tuple[str, int], server: tuple[str, int], *, by: Sequence[str] = ()) -> None:
        places = [f"{host}:{port}" for host, port in (listens, server)]
        self._command = [*by, sys.executable, "-m", "support.servers.relay", *places]

    def __enter__(self) -> Self:
        """Return once it listens."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the relay does not listen"
        return self

    def __exit__(self, *_: object) -> None:
        """Return once the process has ended."""
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0, "the relay failed; its errors are on stderr"


async def relay(listens: tuple[str, int], server: tuple[str, int]) -> None:
    """Pass connections on until the standard input ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            theirs, to_server = await asyncio.open_connection(*server)
            await asyncio.gather(_copy(reader, to_server), _copy(theirs, writer))
        writer.close()

    loop, end = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), end.set)
    await asyncio.start_server(serve, *listens, backlog=512)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await end.wait()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass on what comes, and then the end."""
    with suppress(OSError):
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()
    target.close()


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    asyncio.run(relay(*map(_place, sys.argv[1:])))
