"""Handle SIGINT and SIGTERM with `caught`: the first lets the attempts under way finish, the second cancels the run."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def caught(on_first: Callable[[], None]) -> Iterator[list[int]]:
    """Call `on_first` at the first SIGINT or SIGTERM, cancel the task at the second; yield the signals received.

    Python delivers signals to the main thread only: a run in another thread is stopped by cancelling its task.
    """
    if threading.current_thread() is not threading.main_thread():
        yield []
        return
    loop, task, came = asyncio.get_running_loop(), asyncio.current_task(), list[int]()

    def on_signal(number: int) -> None:
        came.append(number)
        if len(came) == 1:
            on_first()
        elif task is not None:
            task.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield came
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
