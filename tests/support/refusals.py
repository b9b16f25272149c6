"""How a refusal is told from a crash, and a look into the send log that shares no code with it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from support.fork_server import ForkingWorkspace

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def refused(done: subprocess.CompletedProcess[str], *words: str, code: int = 2) -> str:
    """Return what was said on stderr: `campaign: ` and a sentence that holds the words, with the exit code."""
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    first, *more = done.stderr.rstrip("\n").split("\n")
    assert first.startswith("campaign: "), done.stderr
    assert all(line == "Nothing was sent. `campaign check` lists all such rows." for line in more), done.stderr
    for word in words:
        assert word in done.stderr, f"{word!r} is not in {done.stderr!r}"
    return done.stderr


def stranger_to(folder: Path) -> ForkingWorkspace:
    """Return a campaign with no settings and no servers: whatever happens, happens in the sandbox."""
    work = ForkingWorkspace(folder)
    work.write()
    return work


def table_of(log: Path, name: str) -> list[tuple[Any, ...]]:
    """Return all rows of a table of a send log; none where there is no log."""
    if not log.exists():
        return []
    with closing(sqlite3.connect(f"{log.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608 - the tests' own names
