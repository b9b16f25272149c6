"""The machine of the measurement: processor, interpreter, and the cost of a durable write on this disk."""

from __future__ import annotations

import importlib.util
import os
import platform
import statistics
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_WRITES = 100


def describe(folder: Path) -> str:
    """Return one line about this machine; `folder` is where the send logs will be."""
    uvloop = "with uvloop" if importlib.util.find_spec("uvloop") else "without uvloop"
    cores = len(processors())
    return (
        f"{cores} cores ({_processor()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {uvloop}, "
        f"fdatasync {_fdatasync(folder) * 1e6:.0f} µs"
    )


def processors() -> set[int]:
    """Return the numbers of the processors that this process may use."""
    return os.sched_getaffinity(0)


@contextmanager
def using(numbers: set[int]) -> Iterator[None]:
    """Restrict processes that are started in the block to these processors."""
    before = processors()
    os.sched_setaffinity(0, numbers)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def busy() -> float:
    """Return the share of all processors that is in use before the benchmark starts; 0 if unknown."""
    try:
        before = _jiffies()
        threading.Event().wait(1)
        after = _jiffies()
    except OSError:
        return 0.0
    return 1 - (after.idle - before.idle) / max(1, after.all - before.all)


class _Jiffies(NamedTuple):
    all: int
    idle: int


def _jiffies() -> _Jiffies:
    # proc(5): user nice system idle iowait …
    first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    counts = [int(word) for word in first.split()[1:9]]
    return _Jiffies(sum(counts), counts[3] + counts[4])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _fdatasync(folder: Path) -> float:
    """Return the median seconds of one 4 kB write made durable."""
    path = folder / "fdatasync"
    took = []
    file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        for number in range(_WRITES):
            os.pwrite(file, os.urandom(4096), number * 4096)
            began = time.perf_counter()
            os.fdatasync(file)
            took.append(time.perf_counter() - began)
    finally:
        os.close(file)
        path.unlink()
    return statistics.median(took)
