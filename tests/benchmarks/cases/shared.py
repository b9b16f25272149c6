"""One rate for several workers with a log in PostgreSQL: how much of it they use, and that they keep it together."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from harness.bench import Line, say
from harness.service import running
from harness.windows import fullest, share

if TYPE_CHECKING:
    from harness.bench import Bench

_WORKERS = 4
#: Not measured: the workers start one after the other.
_START_S = 3.0


def shared(bench: Bench) -> list[Line]:
    """Measure 14/second and 100/second of four processes together, by the instants at which permits are used."""
    return [line for per_second in (100, 14) for line in _share(bench, per_second)]


def _share(bench: Bench, per_second: int) -> list[Line]:
    seconds = bench.pick(60, 10)
    with running("postgres_server.py", "--logs", 1) as server:
        with ExitStack() as stack:
            arguments = (server.said["urls"][0], f"{per_second}/second")
            workers = [
                stack.enter_context(running("permit_worker.py", *arguments, number)) for number in range(_WORKERS)
            ]
            time.sleep(_START_S + seconds + 1)  # noqa: TID251 - the real time is measured
        stamps = sorted(stamp for worker in workers for stamp in worker.record["stamps"])
    cpu = sum(worker.record["cpu_seconds"] for worker in workers)
    database = server.record["cpu_seconds"]
    say(f"  {len(stamps)} permits; CPU: {cpu:.1f} s of the workers, {database:.1f} s of the server")
    measured = [stamp for stamp in stamps if stamp > stamps[0] + _START_S]
    used, most = share(measured, per_second, seconds), fullest(stamps, 1.0)
    what = f"{per_second}/second of {_WORKERS} workers, {seconds} s"
    return [
        Line(f"{what}: used", f"{used:.2%}", wanted="≥ 98 %", reached=used >= 0.98),
        Line(f"{what}: fullest second", str(most), wanted=f"≤ {per_second}", reached=most <= per_second),
    ]
