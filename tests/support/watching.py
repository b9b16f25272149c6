"""Start `campaign watch` as a process, and follow its log: `Watch`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from support import ROOT, TESTS
from support.no_fault import assert_no_fault

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.workspace import Workspace

_TIMEOUT_S = 120.0
#: What runs as a watch, unless a test says what else: with a tenth of the waits for files and logs.
_QUICK = (sys.executable, "-m", "support.quick_watch")


class Watch:
    """A running `campaign watch` whose log is read while it is written."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        #: Where it answers, once it was read: `http://127.0.0.1:PORT`.
        self.url = ""
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def events(self, event: str, campaign: str | None = None) -> list[dict[str, Any]]:
        """Return the log's objects of an event, of one campaign or of all."""
        found = [json.loads(line) for line in self.lines.copy() if line.startswith("{")]
        return [each for each in found if each.get("event") == event and campaign in {None, each.get("campaign")}]

    def until(self, seen: Callable[[], object], *, every: float = 0.02, timeout: float = _TIMEOUT_S) -> None:
        """Wait until something is true while the watch runs; look again after `every` seconds."""
        deadline = time.monotonic() + timeout
        while not seen():
            assert self.process.poll() is None, self.told
            assert time.monotonic() < deadline, self.told
            time.sleep(every)  # noqa: TID251 - servers and processes live in the real time

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to a watch that has begun, and return the exit code."""
        self.until(lambda: self.events("started"))
        self.process.send_signal(number)
        code = self.process.wait(timeout=_TIMEOUT_S)
        self._reader.join()
        assert_no_fault(self.told)
        return code

    def close(self) -> None:
        """Kill the watch if it still runs, and close its output."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    @property
    def told(self) -> str:
        """All that it wrote to stderr."""
        return "".join(self.lines)


@contextmanager
def watching(work: Workspace, *arguments: str, **start: Any) -> Iterator[Watch]:  # noqa: ANN401 - as `Workspace.start`
    """Yield a watch of campaign files, and kill it at the end if it still runs."""
    work.environment.setdefault("PYTHONPATH", os.pathsep.join([str(ROOT), str(TESTS)]))
    process = work.start("watch", *arguments, "--log-format", "json", **({"of": _QUICK} | start))
    watch = Watch(process)
    try:
        yield watch
    finally:
        watch.close()


def replace(path: Path, text: str) -> None:
    """Write a file under another name and rename it, as the README says."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.rename(path)


def csv_of(numbers: range) -> str:
    """Return a CSV of imaginary people, as those of `Workspace.write`."""
    rows = [f"user_{each},u{each}@d{each % 5}.example,Name {each}" for each in numbers]
    return "\n".join(["user_id,email,first_name", *rows, ""])
