"""Find Debian's programs, or skip the test with the reason; start a daemon and end it: `needed`, `daemon`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

#: Daemons are not in a user's PATH.
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/postfix/sbin", "/usr/libexec/postfix"))
_PATIENCE_S = 60


def needed(program: str, package: str, *, folders: Iterable[Path] = ()) -> str:
    """Return the path of a program; skip the test if it is not installed, which never happens in CI.

    Args:
        program: its name.
        package: Debian's package with it.
        folders: where to look first.
    """
    found = shutil.which(program, path=os.pathsep.join([*map(str, folders), _PATH]))
    if found is None:
        assert not os.environ.get("CI"), f"{program} is missing in CI; .ci/run installs {package}"
        pytest.skip(f"{program} is not installed: apt-get install {package}")
    return found


def needs_root(why: str) -> None:
    """Skip the test if it does not run as root, as CI does."""
    if os.geteuid():
        assert not os.environ.get("CI"), f"not root in CI: {why}"
        pytest.skip(f"not root: {why}")


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def daemon(command: Sequence[str], port: int, output: Path) -> Iterator[None]:
    """Run a daemon in the foreground until the block ends, from when it listens on a port of 127.0.0.1."""
    with output.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + _PATIENCE_S
        while not _listens(port):
            assert process.poll() is None, output.read_text("utf-8", "replace")
            assert time.monotonic() < until, f"{command[0]} does not listen: {output.read_text('utf-8', 'replace')}"
            time.sleep(0.05)  # noqa: TID251 - a process lives in the real time
        yield
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)


def _listens(port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
