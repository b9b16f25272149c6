"""The program as a process per command, at the price of a fork: its modules are loaded once and then inherited.

As a process (`python -m support.fork_server`) it reads a request a line (JSON: arguments, folder, environment, files
for the output), becomes `campaign` in a child, and answers with the exit code.
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
from support.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Done = subprocess.CompletedProcess[str]


class ForkServer:
    """The process that forks."""

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
        """Return how `campaign` with these arguments ended."""
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
    """Return the one of this test run."""
    return ForkServer()


@dataclass
class ForkingWorkspace(Workspace):
    """A workspace whose commands are forks of a process that is warm; what was started beside the test is ended."""

    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, **more: Sequence[str]) -> subprocess.Popen[str]:
        """Start `campaign` with these arguments, as a process that needs no warmth."""
        self.started.append(super().start(*arguments, **more))
        return self.started[-1]

    def cold(self, *arguments: str) -> Done:
        """Run `campaign` with these arguments to its end, as a process that starts from nothing."""
        return super().campaign(*arguments)

    def end(self) -> None:
        """End what is still running."""
        for process in self.started:
            process.kill()
            process.communicate()

    def campaign(self, *arguments: str, timeout: float = 120) -> Done:
        """Run `campaign` with these arguments to its end."""
        return fork_server().run(arguments, self.folder, self._environment(), timeout)


def serve() -> None:
    """Answer requests until there are no more; a child returns, as the program that was asked for."""
    gc.freeze()  # so that a child need not copy what it never touches
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
    """Turn this process into one that a shell might have started."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.argv = ["campaign", *request["arguments"]]
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])


def leave(code: object) -> None:
    """End this process as the interpreter would, but for taking apart all the modules that it inherited."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()  # noqa: SLF001 - what the interpreter does
    gc.collect()  # whatever was never awaited says so
    if isinstance(code, str):
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


def end_of(child: int, timeout: float) -> int | None:
    """Return a child's exit code, or None if it had to be killed after so many seconds."""
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
    """Load whatever a command might, so that no child has to."""
    late = ("httpx", "httpcore", "anyio._backends._asyncio", "css_inline", "uvloop")
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
