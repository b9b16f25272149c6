"""Stop a PostgreSQL of the tests when no process uses it any more, also if those were killed: `stop`, and `main`."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PATIENCE_S = 60


def watch(lock: Path, folder: Path) -> None:
    """Start a process that waits until nobody has a shared lock on a file, and then stops the server in a folder."""
    command = [sys.executable, __file__, str(lock), str(folder)]
    nothing = subprocess.DEVNULL
    subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True, check=True)


def stop(folder: Path) -> None:
    """Stop the server in a folder as a crash would, and remove the folder; do nothing if it is gone."""
    note = folder / "data/postmaster.pid"
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(note.read_text("utf-8").split()[0]), signal.SIGQUIT)
        until = time.monotonic() + _PATIENCE_S
        while note.exists() and time.monotonic() < until:
            time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    lock, folder = map(Path, sys.argv[1:])
    if os.fork():
        os._exit(0)  # whoever started us has nothing to wait for
    with suppress(FileNotFoundError), lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)  # whoever takes the lock next finds no server
        stop(folder)


if __name__ == "__main__":
    main()
