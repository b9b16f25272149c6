"""One rate for several runs with a log in PostgreSQL: how much of it they use, and that they keep it together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.bench import Line, say
from harness.child import BenchmarkError
from harness.program import Campaign
from harness.service import running
from harness.windows import fullest, share

if TYPE_CHECKING:
    from harness.bench import Bench

_RUNS = 4
#: Not measured: the runs begin one after the other, and end so.
_START_S, _END_S = 3, 3


def shared(bench: Bench) -> list[Line]:
    """Measure 14/second and 100/second of four `campaign run` together, by the receiver's time stamps."""
    return [line for per_second in (100, 14) for line in _share(bench, per_second)]


def _share(bench: Bench, per_second: int) -> list[Line]:
    seconds = bench.pick(60, 10)
    count = per_second * (_START_S + seconds + _END_S)
    recipients, limits = bench.recipients(count), {"messages": f"{per_second}/second"}
    with running("postgres_server.py", "--logs", 1) as server, running("stamping_smtp.py") as receiver:
        campaign = Campaign(bench.folder / f"shared-{per_second}", smtp=receiver.port, limits=limits, verify=False)
        runs = [campaign.start(recipients, log=server.said["urls"][0]) for _ in range(_RUNS)]
        cpu = sum(run.wait().cpu_seconds for run in runs)
    stamps = receiver.record["stamps"]
    if len(stamps) != count:
        raise BenchmarkError(f"the receiver took {len(stamps)} messages instead of {count}")
    say(f"  {per_second}/second: CPU: {cpu:.1f} s of the runs, {server.record['cpu_seconds']:.1f} s of the server")
    measured = [stamp for stamp in stamps if stamp > stamps[0] + _START_S]
    used, most = share(measured, per_second, seconds), fullest(stamps, 1.0)
    what = f"{per_second}/second of {_RUNS} runs, {seconds} s"
    return [
        Line(f"{what}: used", f"{used:.2%}", wanted="≥ 98 %", reached=used >= 0.98),
        Line(f"{what}: fullest second", str(most), wanted=f"≤ {per_second}", reached=most <= per_second),
    ]
