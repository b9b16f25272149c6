"""Postfix's `smtp-sink`, and the number of messages that it counted.

`smtp-sink -c` prints its counters again after each message's final dot. They go to a file, so that counting costs
one short write and no reader runs while a sender is measured. The last line is read before and after a sender, and
the difference must be the number of recipients.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.child import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: A counter ends at the next carriage return, or at the end of the file.
_COUNT = re.compile(rb"mesg=(\d+)")
_TAIL = 200
_READY_TIMEOUT_S = 10.0
_WAIT = threading.Event().wait


class Sink:
    """A running `smtp-sink`."""

    def __init__(self, port: int, counters: Path) -> None:
        self.port = port
        self._counters = counters

    def count(self) -> int:
        """Return the number of messages that it has accepted so far."""
        with self._counters.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            found = _COUNT.findall(file.read())
        return int(found[-1]) if found else 0

    @contextmanager
    def expecting(self, messages: int) -> Iterator[None]:
        """Run a sender that must deliver exactly `messages`.

        Raises:
            BenchmarkError: the sink counted another number.
        """
        before = self.count()
        yield
        until = time.monotonic() + _READY_TIMEOUT_S
        while (took := self.count() - before) < messages and time.monotonic() < until:
            _WAIT(0.02)
        if took != messages:
            raise BenchmarkError(f"the sink counted {took} messages instead of {messages}")

    @contextmanager
    def watching(self) -> Iterator[Span]:
        """Record when the first and the last message of the block arrived, to about 10 ms."""
        span = Span()
        stop = threading.Event()
        before = self.count()

        def look() -> None:
            while not stop.wait(0.01):
                span.note(self.count() - before)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield span
        finally:
            stop.set()
            thread.join()


class Span:
    """The times at which messages arrived."""

    def __init__(self) -> None:
        self._began = self._first = self._last = time.perf_counter()
        self._early = self._messages = 0

    def note(self, messages: int) -> None:
        """Record that `messages` messages have arrived by now."""
        if messages == self._messages:
            return
        self._last = time.perf_counter()
        if not self._messages:
            self._first, self._early = self._last, messages
        self._messages = messages

    @property
    def begun(self) -> bool:
        """Whether a message has arrived."""
        return self._messages > 0

    @property
    def waited(self) -> float:
        """Seconds until the first message arrived."""
        return self._first - self._began

    @property
    def rate(self) -> float:
        """Messages per second between the first and the last one, without start, reading of the CSV and end."""
        return (self._messages - self._early) / max(self._last - self._first, 0.01)


@contextmanager
def smtp_sink(command: str, folder: Path) -> Iterator[Sink]:
    """Run `smtp-sink` on a free port for as long as the block lasts; `folder` holds its counters.

    Raises:
        BenchmarkError: it did not start.
    """
    port = _free_port()
    counters = folder / f"sink-{port}.txt"
    # As root it requires the name of another user; 1024 is the length of its queue of connections.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with counters.open("wb") as file:
        process = subprocess.Popen(
            [command, "-c", *user, f"127.0.0.1:{port}", "1024"], stdout=file, stderr=subprocess.PIPE
        )
    try:
        _reach(port, process)
        yield Sink(port, counters)
    finally:
        process.terminate()
        process.communicate()
        counters.unlink()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _reach(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _READY_TIMEOUT_S
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            _WAIT(0.02)
        else:
            return
    raise BenchmarkError("smtp-sink did not start")
