"""Move a send log in a process that is killed before one of its commits: `killed_move`.

The process is `python -m support.killed_move SOURCE TARGET COMMIT`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaign.config.postgres_url import parse_log
from campaign.sendlog.move import move_log
from campaign.sendlog.postgres.connection import PostgresConnection
from campaign.sendlog.sqlite.connection import SqliteConnection
from support import ROOT, TESTS
from support.fork_server import PYTHON_MODULE, popen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from campaign.sendlog import LogLocation

#: The commits of a move, after the two with which it looks at both logs: the source's intent, the target's rows, the
#: source's end and the target's begin.
INTENT, ROWS, END, BEGIN = COMMITS = (3, 4, 5, 6)


def location(text: str) -> LogLocation:
    """Return the place that a text names."""
    found = parse_log(text)
    return Path(found) if isinstance(found, str) else found


def killed_move(source: str, target: str, *, commit: int, folder: Path) -> None:
    """Move a log until the process is killed before a commit.

    Args:
        source: the log.
        target: where it is to be.
        commit: one of `COMMITS`.
        folder: where relative paths begin.
    """
    process = popen(
        [*PYTHON_MODULE, "support.killed_move", source, target, str(commit)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, (process.returncode, said)


def _main(source: str, target: str, last: str) -> None:
    left = iter(range(int(last) - 1))
    for kind in (SqliteConnection, PostgresConnection):
        setattr(kind, "commit", _killed_when_used_up(kind.commit, left))  # noqa: B010 - of two types
    move_log(location(source), location(target), now=1_700_000_000.0, say=lambda _: None)


def _killed_when_used_up(commit: Callable[[Any], None], left: Iterator[int]) -> Callable[[Any], None]:
    def counted(connection: Any) -> None:  # noqa: ANN401 - of either kind
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        commit(connection)

    return counted


if __name__ == "__main__":
    _main(*sys.argv[1:])
