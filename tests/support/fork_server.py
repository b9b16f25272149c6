"""Start `python -m campaign …` as a fork of a process that has loaded the program's modules once: `popen`.

A start of Python that loads these modules costs half a second of CPU time, a fork a hundredth of that. As a process
(`python -m support.fork_server`) it reads one request per message from a Unix socket, in JSON. One with arguments,
folder and environment, and beside it the files to become stdin, stdout and stderr, is answered with the id of the
forked process; one with such an id, once the process has ended, with its status.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import ROOT, TESTS
from support.faults.leaping_clock import leap
from support.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    Done = subprocess.CompletedProcess[str]


#: A variable of a command's environment: how far ahead its clock is (seconds).
CLOCK_AHEAD_S = "TESTS_CLOCK_AHEAD_S"
PYTHON_MODULE = (sys.executable, "-m")
#: The modules that a fork can run: those that need not be the first to import the program's.
FORKABLE = ("campaign", "support.crash.mutants", "support.killed_move", "support.quick_watch")
#: A request's longest form: the arguments and the environment.
_MAX_REQUEST_BYTES = 1 << 20


class ForkServer:
    """The client of the forking process."""

    def __init__(self) -> None:
        self._requests, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = subprocess.Popen(
                [*PYTHON_MODULE, "support.fork_server"],
                stdin=other.fileno(),
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])},
            )
        self._turn = threading.Lock()
        atexit.register(self.close)

    def fork(self, arguments: Sequence[str], folder: Path, environment: dict[str, str], files: Sequence[int]) -> int:
        """Fork a process that runs `python -m` with these arguments, and return its id."""
        return self._ask({"arguments": list(arguments), "folder": str(folder), "environment": environment}, files)

    def status_of(self, process: int) -> int:
        """Return the status, as of waitpid(2), of a forked process that has ended; once for each."""
        return self._ask(process, ())

    def close(self) -> None:
        """End the process."""
        self._requests.close()
        self._process.wait()

    def _ask(self, request: object, files: Sequence[int]) -> int:
        with self._turn:
            socket.send_fds(self._requests, [json.dumps(request).encode()], files)
            answer = self._requests.recv(64)
        assert answer, "the process that forks has ended; what it had to say stands on stderr"
        return int(answer)


@cache
def fork_server() -> ForkServer:
    """Return the fork server of this test run."""
    return ForkServer()


class ForkedProcess(subprocess.Popen[Any]):
    """A process like any other of `Popen`, which the fork server has forked: `python -m MODULE …`."""

    def _execute_child(  # what Popen calls to start the process, once it has opened the pipes
        self,
        args: Sequence[str],
        _executable: None,
        _preexec: None,
        _close_fds: bool,
        _pass_fds: object,
        cwd: Path,
        env: dict[str, str],
        _startup: None,
        _flags: int,
        _shell: bool,
        *pipes_and_rest: Any,  # noqa: ANN401 - ours and the other end of stdin, of stdout and of stderr, and options
    ) -> None:
        stdin, stdin_end, stdout_end, stdout, stderr_end, stderr, *_ = pipes_and_rest
        try:
            self.pid = fork_server().fork(args[2:], cwd, env, (stdin, stdout, stderr))
            self._ending = os.pidfd_open(self.pid)
            self._child_created = True
        finally:
            self._close_pipe_fds(stdin, stdin_end, stdout_end, stdout, stderr_end, stderr)  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:  # instead of waitpid(2): it is the fork server's child
        end = select.poll()
        end.register(self._ending, select.POLLIN)
        if not end.poll(0 if wait_flags & os.WNOHANG else None):
            return 0, 0
        os.close(self._ending)
        return self.pid, fork_server().status_of(self.pid)

    def _internal_poll(self, _deadstate: int | None = None, **_: object) -> int | None:  # what `poll` calls
        if self.returncode is None and _deadstate is None:
            with suppress(subprocess.TimeoutExpired):
                self.wait(timeout=0)
        return self.returncode


def popen(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:  # noqa: ANN401 - those of Popen
    """Start a command as `Popen` does, but as a fork, if possible; `cwd`, `env`, stdin, stdout and stderr are given."""
    can_fork = sys.platform == "linux" and tuple(command[:2]) == PYTHON_MODULE and command[2] in FORKABLE
    kind: type[subprocess.Popen[Any]] = ForkedProcess if can_fork else subprocess.Popen
    return kind(command, **options)


@dataclass
class ForkingWorkspace(Workspace):
    """A workspace whose commands are forks of a warm process; `end` kills the processes of `start`."""

    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - as `Workspace.start`
        """Start `campaign` with these arguments."""
        self.started.append(super().start(*arguments, **more))
        return self.started[-1]

    def cold(self, *arguments: str) -> Done:
        """Run `campaign` with these arguments to its end, as a new process, without a fork."""
        return Workspace(self.folder, self.environment).campaign(*arguments)

    def end(self) -> None:
        """Kill the processes that still run."""
        for process in self.started:
            process.kill()
            process.communicate()

    def _popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - Popen's
        return popen(command, **options)


def serve(requests: socket.socket) -> list[str]:
    """Fork a process for each request; in the forked one, return the arguments of its `python -m`."""
    gc.freeze()  # avoids copy-on-write in the children
    while True:
        message, files, _, _ = socket.recv_fds(requests, _MAX_REQUEST_BYTES, 3)
        if not message:
            os._exit(0)
        request = json.loads(message)
        if isinstance(request, int):
            answer = os.waitpid(request, 0)[1]
        elif not (answer := os.fork()):
            requests.close()
            become(request, files)
            return list(request["arguments"])
        requests.send(str(answer).encode())
        for file in files:
            os.close(file)


def become(request: dict[str, Any], files: list[int]) -> None:
    """Give this process the files, arguments and environment of the request, as if a shell had started it."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if "PYTHONUNBUFFERED" in os.environ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if ahead := os.environ.pop(CLOCK_AHEAD_S, None):
        leap("wall", float(ahead), Path("/"))


def run(module: str, *arguments: str) -> int:
    """Run a module as `python -m` does, and return the exit code."""
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)  # as in a new process
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            raise
        return ended.code or 0
    return 0


def leave(code: int) -> None:
    """End this process as the interpreter would, but without unloading all the inherited modules."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()  # noqa: SLF001 - what the interpreter does
    gc.collect()  # shows warnings about coroutines that were never awaited
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def preload() -> None:
    """Import all modules that a command may need, so that the forked processes need not."""
    late = ["httpx", "httpcore", "anyio._backends._asyncio", "css_inline", "dns.asyncresolver", "uvloop"]
    late += ["tinycss2", "webencodings", "rich._emoji_codes", "encodings.utf_16_be", "encodings.utf_16_le"]
    ours = pkgutil.walk_packages([str(ROOT / "campaign")], "campaign.")
    for name in (*late, *(found.name for found in ours)):
        if not name.endswith((".__main__", ".ship_clerk_js")):
            with suppress(ImportError):
                importlib.import_module(name)


def warm_up() -> None:
    """Check a campaign, which fills the caches of regular expressions, templates and settings that each start fills."""
    with tempfile.TemporaryDirectory() as folder, suppress(SystemExit), redirect_stdout(io.StringIO()):
        work = Workspace(Path(folder)).write()
        importlib.import_module("campaign.cli").commands(["check", str(work.file)])


if __name__ == "__main__":
    preload()
    warm_up()
    leave(run(*serve(socket.socket(fileno=0))))
