"""Run the sender as a process: start it, watch it, kill it and read its log: `Sender`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from support import ROOT
from support.fork_server import popen
from support.no_fault import has_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


#: The exit code of a run that found the send log in use.
_LOG_IS_HELD = 75


class BrokenRunError(AssertionError):
    """The sender ended in a way that no scripted fault explains."""


@dataclass
class Sender:
    """The `campaign` program with the settings of one scenario."""

    folder: Path
    campaign: Path
    #: A file, or the URL of a database.
    log: str | Path
    key: str
    clerk_url: str
    smtp_url: str
    #: The command to start: the program itself, or a launcher that adds a fault first.
    command: Sequence[str] = (sys.executable, "-m", "campaign")
    #: The output of each run (stdout and stderr), by file name.
    outputs: dict[str, bytes] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    #: The last run that was started.
    process: subprocess.Popen[bytes] | None = None

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLERK_", "CAMPAIGN_"))}
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        return {
            **kept,
            "PYTHONPATH": path,
            "PYTHONUNBUFFERED": "1",
            "CLERK_SECRET_KEY": self.key,
            "CLERK_API_URL": self.clerk_url,
            "CAMPAIGN_SMTP_URL": self.smtp_url,
            "CAMPAIGN_LOG": str(self.log),
            "CAMPAIGN_REPLY_TIMEOUT": "3s",
            **self.environment,
        }

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the sender and return its process; its output is kept."""
        name = f"{len(self.outputs):03}.txt"
        self.outputs[name] = b""
        with (self.folder / name).open("wb") as output:
            self.process = popen(
                [*self.command, *arguments],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self.process

    def freeze(self, seconds: float) -> None:
        """Stop the run for some seconds (SIGSTOP), as when a laptop sleeps, then let it continue."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def last_output(self) -> str:
        """Return what the last run has written so far."""
        return (self.folder / list(self.outputs)[-1]).read_text(encoding="utf-8", errors="replace")

    def run_until(self, end: Callable[[], bool], *, patience: float = 300.0) -> int | None:
        """Start a run. Return its exit code, or kill it (SIGKILL) and return None once `end` returns True.

        While another command has the send log, such as `bounces` that revokes a token, the run is started again.

        Raises:
            BrokenRunError: the run ended with a code other than 0 or 1, or with a traceback, or did not end.
        """
        deadline = time.monotonic() + patience
        while (code := self._run_until(end, deadline, patience)) == _LOG_IS_HELD:
            time.sleep(0.1)
        return code

    def _run_until(self, end: Callable[[], bool], deadline: float, patience: float) -> int | None:
        process = self.start("run", str(self.campaign), "--yes")
        while process.poll() is None:
            if end():
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                self._must_be_calm()
                return None
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise BrokenRunError(f"the run did not end within {patience} s:\n{self.last_output()[-3000:]}")
            time.sleep(0.003)
        self._must_be_calm()
        if process.returncode not in {0, 1, _LOG_IS_HELD}:
            raise BrokenRunError(f"the run ended with {process.returncode}:\n{self.last_output()[-3000:]}")
        return process.returncode

    def _must_be_calm(self) -> None:
        if has_fault(self.last_output()):
            raise BrokenRunError(f"a traceback:\n{self.last_output()[-5000:]}")

    def beside(self, *arguments: str, kill_after: float | None) -> str:
        """Run a command beside a run and return its output; kill it (SIGKILL) after some seconds, if that is given.

        Raises:
            BrokenRunError: it ended with a code other than 0 or 1, or with a traceback.
        """
        process = popen(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said, _ = process.communicate(timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        if process.returncode not in {0, 1, -signal.SIGKILL} or has_fault(said):
            raise BrokenRunError(f"{arguments} ended with {process.returncode}:\n{said[-3000:]}")
        return str(said)

    def ask(self, *arguments: str) -> str:
        """Run a command that must succeed, and return its stdout."""
        process = popen(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        said, complained = process.communicate()
        if process.returncode:
            raise BrokenRunError(f"{arguments} ended with {process.returncode}:\n{complained[-3000:]}")
        return str(said)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `campaign log`."""
        return [json.loads(line) for line in self.ask("log", str(self.campaign), "--format", "jsonl").splitlines()]

    def status(self) -> dict[str, Any]:
        """Return the object of `campaign status`."""
        found = json.loads(self.ask("status", str(self.campaign), "--json"))
        assert isinstance(found, dict)
        return found
