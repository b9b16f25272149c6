"""Durability by system calls: the page cache survives a kill, so only a trace can show a missing flush."""

from __future__ import annotations

import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from support.crash.scenario import Scenario
from support.crash.sender import Sender
from support.servers.clerk import ClerkServer
from support.servers.smtp import SmtpServer

if TYPE_CHECKING:
    from pathlib import Path

_CALL = re.compile(r"\d+ +(?:<\.\.\. )?(?P<name>\w+)(?P<rest>.*)")
_PATH = re.compile(r"\((?P<number>\d+)<(?P<path>[^>]*)>")

_TRACED = "trace=pwrite64,write,fdatasync,fsync,sendto,sendmsg,writev"
_STRACE = ("strace", "-f", "-y", "-s", "200000", "-e", _TRACED)


def trace(folder: Path, people: int) -> tuple[list[str], int, int]:
    """Return the system calls of a run, and the numbers of tokens and mails."""
    calls = folder / "calls.txt"
    with SmtpServer() as smtp, ClerkServer() as clerk:
        sender = Sender(
            folder=folder,
            campaign=Scenario(recipients=people, seed=4, verify=False).write(folder),
            log=folder / "send-log.db",
            key="sk_test_1234567890",
            clerk_url=clerk.url,
            smtp_url=smtp.url,
            command=[*_STRACE, "-o", str(calls), sys.executable, "-m", "campaign"],
        )
        assert sender.run_until(lambda: False) == 0
        made, accepted = len(clerk.events("token")), len(smtp.events("accept"))
    return calls.read_text(encoding="utf-8", errors="replace").splitlines(), made, accepted


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_what_must_be_durable_is_flushed_before_it_matters(tmp_path: Path) -> None:
    """While a write to the log is not flushed yet, no token is requested and no final dot is written."""
    calls, made, accepted = trace(tmp_path, 1)
    assert (made, accepted) == (1, 1)
    unflushed = flushes = 0
    asked: list[int] = []
    dots: list[int] = []
    for line in calls:
        name, where = _call(line)
        if where.endswith("send-log.db-wal") and name in {"pwrite64", "write"}:
            unflushed += 1
        elif where.endswith("send-log.db-wal") and name in {"fdatasync", "fsync"}:
            flushes += bool(unflushed)
            unflushed = 0
        elif "POST /v1/sign_in_tokens" in line:
            assert unflushed == 0
            asked.append(flushes)
        elif name in {"sendto", "write", "sendmsg", "writev"} and r'.\r\n"' in line and "socket" in where.lower():
            assert unflushed == 0
            dots.append(flushes)
    assert len(asked) == 1, "the request for the token was not seen"
    assert len(dots) == 1, "the final dot was not seen"
    assert asked[0] >= 2, "the rows and the attempt are flushed before the token is asked for"
    assert dots[0] >= asked[0] + 2, "the token's id and the intent are flushed before the dot"
    assert flushes >= dots[0] + 1, "the outcome is flushed, too"
    assert unflushed == 0


def _call(line: str) -> tuple[str, str]:
    found = _CALL.match(line)
    place = _PATH.search(line)
    return (found["name"] if found else "", place["path"] if place else "")
