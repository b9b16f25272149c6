"""Run each command as a fork of a process that has loaded the program's modules once: `ForkingWorkspace`.

As a process (`python -m support.fork_server`) it reads one request per line (JSON: arguments, folder, environment,
output files), runs `campaign` in a child, and answers with the exit code.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import ROOT, TESTS
from support.faults.leaping_clock import leap
from support.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    Done = subprocess.CompletedProcess[str]


#: A variable of a command's environment: how far ahead its clock is (seconds).
CLOCK_AHEAD_S = "TESTS_CLOCK_AHEAD_S"


class ForkServer:
    """The client of the forking process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
        self._turn = threading.Lock()
        atexit.register(self.close)

    def run(self, arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str], timeout: float) -> Done:
        """Run `campaign` with these arguments, and return its exit code and output."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn, tempfile.TemporaryDirectory() as outputs:
            out, err = Path(outputs, "out"), Path(outputs, "err")
            request: dict[str, Any] = {"arguments": arguments, "folder": str(folder), "timeout": timeout}
            request |= {"environment": dict(environment), "out": str(out), "err": str(err)}
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
            assert answer, "the process that forks has ended; what it had to say stands on stderr"
            code = json.loads(answer)
            said, warned = out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")
        assert code is not None, f"still running after {timeout} s: {said} {warned}"
        return subprocess.CompletedProcess(["campaign", *arguments], code, said, warned)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@cache
def fork_server() -> ForkServer:
    """Return the fork server of this test run."""
    return ForkServer()


@dataclass
class ForkingWorkspace(Workspace):
    """A workspace whose commands are forks of a warm process; `end` kills the processes of `start`."""

    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - as `Workspace.start`
        """Start `campaign` with these arguments as a new process, without a fork."""
        self.started.append(super().start(*arguments, **more))
        return self.started[-1]

    def cold(self, *arguments: str) -> Done:
        """Run `campaign` with these arguments to its end, as a new process, without a fork."""
        return super().campaign(*arguments)

    def end(self) -> None:
        """Kill the processes that still run."""
        for process in self.started:
            process.kill()
            process.communicate()

    def campaign(self, *arguments: str, timeout: float = 120) -> Done:
        """Run `campaign` with these arguments to its end."""
        return fork_server().run(arguments, self.folder, self._environment(), timeout)


def serve() -> None:
    """Answer requests until there are no more; in a child, return to run the requested program."""
    gc.freeze()  # avoids copy-on-write in the children
    while line := sys.stdin.readline():
        request = json.loads(line)
        child = os.fork()
        if not child:
            become(request)
            return
        sys.stdout.write(json.dumps(end_of(child, request["timeout"])) + "\n")
        sys.stdout.flush()
    os._exit(0)


def become(request: dict[str, Any]) -> None:
    """Give this process the output, arguments and environment of the request, as if a shell had started it."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.argv = ["campaign", *request["arguments"]]
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if ahead := os.environ.pop(CLOCK_AHEAD_S, None):
        leap("wall", float(ahead), Path("/"))


def leave(code: object) -> None:
    """End this process as the interpreter would, but without unloading all the inherited modules."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()  # noqa: SLF001 - what the interpreter does
    gc.collect()  # shows warnings about coroutines that were never awaited
    if isinstance(code, str):
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


def end_of(child: int, timeout: float) -> int | None:
    """Return a child's exit code, or None if it was killed at the time-out (seconds)."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.003)  # noqa: TID251 - a process of its own, in the real time
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def preload() -> None:
    """Import all modules that a command may need, so that the children need not."""
    late = ("httpx", "httpcore", "anyio._backends._asyncio", "css_inline", "dns.asyncresolver", "uvloop")
    ours = pkgutil.walk_packages([str(ROOT / "campaign")], "campaign.")
    for name in (*late, *(found.name for found in ours)):
        if not name.endswith((".__main__", ".ship_clerk_js")):
            with suppress(ImportError):
                importlib.import_module(name)


if __name__ == "__main__":
    preload()
    serve()
    from campaign.cli import main

    try:
        main()
    except SystemExit as ended:
        code = ended.code
    leave(code)
