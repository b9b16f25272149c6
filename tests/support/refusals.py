"""Check that the program refused a command, and read the send log without the program's code: `refused`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from support.fork_server import ForkingWorkspace
from support.no_fault import assert_no_fault

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def refused(done: subprocess.CompletedProcess[str], *words: str, code: int = 2) -> str:
    """Check the exit code and return the sentence on stderr, which starts with `campaign: ` and contains the words."""
    assert_no_fault(done.stdout + done.stderr)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    first, *more = done.stderr.rstrip("\n").split("\n")
    assert first.startswith("campaign: "), done.stderr
    assert all(line == "Nothing was sent. `campaign check` lists all problems." for line in more), done.stderr
    for word in words:
        assert word in done.stderr, f"{word!r} is not in {done.stderr!r}"
    return done.stderr


def stranger_to(folder: Path) -> ForkingWorkspace:
    """Return a campaign without settings and servers, so that it uses the sandbox."""
    work = ForkingWorkspace(folder)
    work.write()
    return work


def table_of(log: Path, name: str) -> list[tuple[Any, ...]]:
    """Return all rows of a send log's table; none if the log does not exist."""
    if not log.exists():
        return []
    with closing(sqlite3.connect(f"{log.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608 - the tests' own names
