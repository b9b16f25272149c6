"""One measured process: seconds, CPU time, peak memory."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MEGA = 1_000_000


class BenchmarkError(Exception):
    """A benchmark cannot be run, or its figure cannot be trusted; the text is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources that a process used, from its start to its end."""

    #: Wall-clock time, including the interpreter's start.
    seconds: float
    #: User and system time of all its threads.
    cpu_seconds: float
    #: The highest resident set, in megabytes (10^6 bytes).
    peak_mb: float
    #: Its standard output.
    output: str


class Child:
    """A running process. Its output goes to files, so that a full pipe cannot stop it."""

    def __init__(self, process: subprocess.Popen[bytes], out: IO[bytes], err: IO[bytes], began: float) -> None:
        self._process, self._out, self._err, self._began = process, out, err, began

    @classmethod
    def start(cls, command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Self:
        """Start `command` with an empty standard input."""
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed by `wait`
        began = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd)
        return cls(process, out, err, began)

    @property
    def running(self) -> bool:
        """Whether it is still running."""
        # Not `Popen.poll`, which would discard the resource usage.
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self, *, deadline: float = 3600, expect: int = 0) -> Usage:
        """Wait until the process has ended and return the resources that it used.

        Raises:
            BenchmarkError: it ended with another code than `expect`, or not within `deadline` seconds.
        """
        pid = self._process.pid
        timer = threading.Timer(deadline, os.kill, (pid, signal.SIGKILL))
        timer.daemon = True
        timer.start()
        _, status, used = os.wait4(pid, 0)
        seconds = time.perf_counter() - self._began
        timer.cancel()
        code = self._process.returncode = os.waitstatus_to_exitcode(status)
        output, errors = _text(self._out), _text(self._err)
        if code != expect:
            said = (errors or output).strip().splitlines()[-8:]
            name = " ".join(map(str, self._process.args))  # type: ignore[arg-type]  # always a sequence here
            raise BenchmarkError(f"exit code {code} of `{name}`: {' / '.join(said) or 'nothing said'}")
        # Linux counts in units of 1024 bytes (getrusage(2)).
        return Usage(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / _MEGA, output)


def measure(command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Usage:
    """Run `command` to its end and return the resources that it used.

    Raises:
        BenchmarkError: it did not end with 0.
    """
    return Child.start(command, env=env, cwd=cwd).wait()


def _text(file: IO[bytes]) -> str:
    with file:
        file.seek(0)
        return file.read().decode(errors="replace")
