"""An mbox that another process is writing: not read, and not locked by the reader."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from campaign.bounces.mailboxes import read_mails
from campaign.errors import CannotStartError

if TYPE_CHECKING:
    from pathlib import Path

LOCK_OR_FAIL = "import fcntl, sys; box = open(sys.argv[1], 'r+b'); fcntl.lockf(box, fcntl.LOCK_EX | fcntl.LOCK_NB)"
LOCK = f"{LOCK_OR_FAIL}; print('locked', flush=True); input()"


def test_an_mbox_that_is_being_written_is_told(tmp_path: Path) -> None:
    """An mbox on which a mail server holds its lock is not read, and the reader keeps no lock itself."""
    path = tmp_path / "mbox"
    path.write_bytes(b"From x Mon Nov 30 10:00:03 2026\nA: 1\n\n")
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        writer.stdout.readline()
        with pytest.raises(CannotStartError, match="is being written by another program; run the same command again"):
            list(read_mails(str(path)))
        writer.communicate(b"\n")
    reading = read_mails(str(path))
    next(reading)
    subprocess.run([sys.executable, "-c", LOCK_OR_FAIL, str(path)], check=True)
    reading.close()
