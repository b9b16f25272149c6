"""Errors that no caller can catch: a sentence with their place, and nothing of their text."""

from __future__ import annotations

import asyncio
import errno
import gc
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from campaign.cli.event_loop import awaited
from campaign.cli.stray_errors import tell_stray_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Stands for what an error's text may quote.
SECRET = "sit_secret"
SENTENCE = r"campaign: this is a bug in campaign: ValueError at test_stray_errors.py:{}. The command goes on"


@pytest.fixture(autouse=True)
def hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the hooks for one test."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    tell_stray_errors()


def fail() -> None:
    raise ValueError(SECRET)


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is on stderr, which has the error's place and not its text."""
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "Traceback" not in said
    return said.rstrip("\n")


def sentence() -> str:
    return SENTENCE.format(fail.__code__.co_firstlineno + 1)


def test_an_object_that_is_destroyed(capsys: pytest.CaptureFixture[str]) -> None:
    """An error in the `finally` of a generator that is destroyed is told."""

    def rows() -> Iterator[int]:
        try:
            yield 1
        finally:
            fail()

    held = rows()
    next(held)
    del held
    gc.collect()
    assert told(capsys) == sentence()


def test_a_thread(capsys: pytest.CaptureFixture[str]) -> None:
    """An error that ends a thread is told."""
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert told(capsys) == sentence()


def test_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    """An error that ends a task is told if no code awaits the task."""

    async def task() -> None:
        fail()

    async def leave() -> None:
        loop = asyncio.get_running_loop()
        loop.create_task(task())  # noqa: RUF006 - that it is left is the test
        after = loop.create_future()
        loop.call_soon(after.set_result, None)
        await after
        gc.collect()

    awaited(leave())
    assert told(capsys) == sentence()


def test_what_an_event_loop_reports_of_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of the operating system is not called a bug: the sentence says what failed, and why."""

    async def report() -> None:
        error = OSError(errno.EMFILE, "Too many open files")
        asyncio.get_running_loop().call_exception_handler({"message": "a connection was refused", "exception": error})

    awaited(report())
    assert told(capsys) == "campaign: a connection was refused (Too many open files)"
