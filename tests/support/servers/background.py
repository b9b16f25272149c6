"""Run a server in a thread with its own event loop (`Background`) or as its own process (`ServerProcess`)."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from support import TESTS
from support.servers.record import Record, read
from support.servers.script import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from support.servers.record import Event


class Service(Protocol):
    """A server that can be started in an event loop."""

    #: Exceptions that the client did not cause: bugs of the server itself.
    errors: list[BaseException]
    #: What a client needs to know in addition to the port.
    facts: dict[str, str]

    async def start(self, port: int) -> int:
        """Listen on 127.0.0.1 and return the port."""
        ...

    async def stop(self) -> None:
        """Close all connections, then return."""
        ...


class Background:
    """A service in a thread of this process: `with SmtpServer(script) as server: server.port`.

    The end of the block raises exceptions that occurred in the server itself.
    """

    def __init__(self, service: Service, record: Record, *, port: int = 0) -> None:
        self.service = service
        self.record = record
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._failure = error
        finally:
            self._loop.close()
            self._ready.set()

    async def _serve(self) -> None:
        self.port = await self.service.start(self.port)
        self._ready.set()
        await self._end.wait()
        await self.service.stop()

    def __enter__(self) -> Self:
        """Return once the server listens."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and return once its thread has ended."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self.record.close()
        if error is None:
            for problem in [*self.service.errors, *filter(None, [self._failure])]:
                raise problem

    def events(self, *names: str) -> list[Event]:
        """Return the events recorded so far."""
        return self.record.events(*names)


class ServerProcess:
    """A server as a process: `with ServerProcess("smtp", script, folder) as server: server.port`.

    The server watches its standard input, so it ends when this process ends, in whatever way.
    """

    def __init__(self, kind: str, script: object, folder: Path, *, port: int = 0, sync: bool = False) -> None:
        self.port = port
        self.facts: dict[str, Any] = {}
        self.path = folder / f"{kind}.jsonl"
        self._script = folder / f"{kind}.script.json"
        self._script.write_text(to_json(script), encoding="utf-8")
        self._command = [sys.executable, "-m", f"support.servers.{kind}", "--script", str(self._script)]
        self._command += ["--record", str(self.path), "--port", str(port), *(["--sync"] if sync else [])]

    def __enter__(self) -> Self:
        """Return once the server listens."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.facts = json.loads(self._process.stdout.readline())
        self.port = self.facts["port"]
        return self

    def __exit__(self, *_: object) -> None:
        """Return once the process has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        code = self._process.wait(timeout=30)
        self._process.stdout.close()
        assert code == 0, f"the server process ended with {code}; its errors are on stderr"

    def events(self, *names: str) -> list[Event]:
        """Return the events recorded so far."""
        return [event for event in read(self.path) if not names or event["event"] in names]


def serve_as_process(make: Callable[[Any, Record], Service], name: str) -> None:
    """Run a server until its standard input ends, for `python -m support.servers.smtp` and `….clerk`."""
    parser = argparse.ArgumentParser(prog=f"python -m support.servers.{name}")
    parser.add_argument("--script", type=Path, help="a script as to_json wrote it")
    parser.add_argument("--record", type=Path, required=True, help="the JSONL file to append to")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--sync", action="store_true", help="fdatasync the record before each answer")
    given = parser.parse_args()
    script = from_json(given.script.read_text(encoding="utf-8")) if given.script else None
    service = make(script, Record(given.record, server=name, sync=given.sync))

    async def serve() -> None:
        end = asyncio.Event()
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        sys.stdout.write(json.dumps({"port": await service.start(given.port), **service.facts}) + "\n")
        sys.stdout.flush()
        watching = loop.create_task(reader.read())
        watching.add_done_callback(lambda _: end.set())
        await end.wait()
        transport.close()
        await service.stop()

    asyncio.run(serve())
    for problem in service.errors:
        raise problem
