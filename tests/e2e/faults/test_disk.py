"""The send log becomes unwritable during a run: sending stops at once, and the next run continues."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from support.crash.records import read_log
from support.environment import environment, wait_for
from support.no_fault import assert_no_fault
from support.refusals import refused
from support.servers.script import Delay, Fault
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.environment import Environment

PEOPLE = 60
#: Keeps the run busy for a while.
SLOW = SmtpScript(faults=(Fault("dot", Delay(0.03)),))
FEW = '[limits]\nconnections = 4\ntokens = "1000/second"\n'


def unfinished_but_sound(env: Environment) -> None:
    """Check that the log is correct up to the disk's failure, although not all recipients are done."""
    known = {row["user_id"] for row in env.work.rows() if row["attempts"]}
    assert {token["user_id"] for token in env.tokens} <= known, "a token was asked for with no attempt on record"
    file = read_log(env.work.log, "trial")
    intents = {one.message_id for one in file.transitions if one.new == "sending"}
    assert {event["message_id"] for event in env.accepted} <= intents, "a mail left with no intent on record"


def stopped_by_the_log(env: Environment, process: subprocess.Popen[str]) -> None:
    """Check that a run ended because of its log, with an error and some recipients left."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, (out, err)
    assert_no_fault(out + err)
    assert "can no longer be written" in err, (out, err)
    assert len(env.accepted) < PEOPLE


def goes_on(env: Environment) -> None:
    """Check that a run without the fault completes the campaign correctly."""
    done = env.work.run()
    assert (done.returncode in {0, 1}, done.stderr) == (True, ""), done
    verdict = env.verdict()
    assert verdict.holds, verdict.table()
    assert verdict.states["sent"] + verdict.states["uncertain"] == PEOPLE
    assert verdict.states["sent"] >= PEOPLE - 20, "only what was in hand may be uncertain"


@pytest.mark.long
def test_a_file_size_limit(tmp_path: Path) -> None:
    """If the log reaches a file-size limit, the run stops at once, and nothing is sent that is not in the log."""
    with environment(tmp_path, PEOPLE, smtp=SLOW, more=FEW) as env:
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.accepted) > PEOPLE // 4, process)
        size = (tmp_path / "send-log.db-wal").stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size + 20_000, size + 20_000))
        stopped_by_the_log(env, process)
        unfinished_but_sound(env)
        goes_on(env)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a file system of limited size in memory."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write to a file until the disk is full."""
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while filler.write(b"x" * 4096):
            pass


@pytest.mark.skipif(shutil.which("mount") is None or os.geteuid() != 0, reason="only root mounts a file system")
def test_a_full_disk(tmp_path: Path) -> None:
    """On a full disk the run stops with an error, and continues with the same command when there is space again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "16m"), environment(disk, PEOPLE, smtp=SLOW, more=FEW) as env:
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.accepted) > PEOPLE // 4, process)
        filler = disk / "filler"
        fill(filler)
        stopped_by_the_log(env, process)
        unfinished_but_sound(env)
        refused = env.work.run()
        assert refused.returncode in {1, 2}, refused
        assert_no_fault(refused.stderr)
        filler.unlink()
        goes_on(env)


@pytest.mark.skipif(shutil.which("mount") is None or os.geteuid() != 0, reason="only root mounts a file system")
def test_a_log_that_may_only_be_read(tmp_path: Path) -> None:
    """A log on a read-only file system is refused with an error and not changed, and no recipient is mailed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "4m"), environment(disk, 3) as env:
        assert env.work.run("--limit", "1").returncode == 0
        before = env.work.log.read_bytes()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        refused(env.work.run(), str(env.work.log))
        assert (env.work.log.read_bytes(), len(env.accepted), len(env.tokens)) == (before, 1, 1)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert env.work.run().returncode == 0


FAILING = {
    "a flush that fails": "fdatasync:error=EIO",
    "a write that fails": "pwrite64:error=EIO",
    "a write without space": "pwrite64:error=ENOSPC",
}


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(
    "what", [name if "flush" in name else pytest.param(name, marks=pytest.mark.long) for name in FAILING]
)
def test_system_calls_that_fail(what: str, tmp_path: Path) -> None:
    """If writes or flushes of the log start to fail, nothing is sent that is not in the log."""
    with environment(tmp_path, PEOPLE, smtp=SLOW, more=FEW) as env:
        call = FAILING[what].partition(":")[0]
        after = 40 if call == "fdatasync" else 200
        strace = ("strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", f"trace={call}")
        inject = ("-e", f"inject={FAILING[what]}:when={after}+")
        process = env.work.start("run", "campaign.toml", "--yes", by=(*strace, *inject))
        stopped_by_the_log(env, process)
        unfinished_but_sound(env)
        goes_on(env)
