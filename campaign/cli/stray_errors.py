"""Errors that no caller can catch, told in a sentence without their text, which may hold secrets: `tell_stray_errors`.

Python prints the traceback of what is raised while an object is destroyed, in a thread, or in a task that is not
awaited.
"""

from __future__ import annotations

import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import asyncio


def place_of(error: BaseException) -> str:
    """Return the type of an error and where it was raised, without its text."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
    return f"{type(error).__name__} at {where}"


def tell_stray_errors() -> None:
    """Tell errors of destroyed objects and of threads from now on; an event loop has `of_loop` for its own."""
    sys.unraisablehook = lambda told: _tell(told.exc_value)
    threading.excepthook = lambda told: _tell(told.exc_value)


def of_loop(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell what an event loop reports, as its exception handler."""
    error = context.get("exception")
    if isinstance(error, OSError):  # such as a connection that cannot be accepted, since too many files are open
        click.echo(f"campaign: {context['message']} ({error.strerror or type(error).__name__})", err=True)
    else:
        _tell(error or context["message"])


def _tell(error: BaseException | str | None) -> None:
    what = place_of(error) if isinstance(error, BaseException) else error or "an error without a name"
    click.echo(f"campaign: this is a bug in campaign: {what}. The command goes on", err=True)
