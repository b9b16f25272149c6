"""The rate limit of the mail provider: how much of it is used, and whether it is ever exceeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.bench import Line, say
from harness.child import BenchmarkError
from harness.program import Campaign
from harness.service import running
from harness.windows import fullest, share

if TYPE_CHECKING:
    from harness.bench import Bench


def rate(bench: Bench) -> list[Line]:
    """A limit of 100/second and one of 14/second, a minute each, by the receiver's own stamps.

    A window is any second whatever, not one that begins with a tick of the clock.
    """
    return [line for per_second in (100, 14) for line in _hold(bench, per_second)]


def _hold(bench: Bench, per_second: int) -> list[Line]:
    seconds = bench.pick(60, 10)
    # Three seconds more, so that the end of the run lies outside.
    count = per_second * (seconds + 3)
    with running("stamping_smtp.py") as receiver:
        limits = {"messages": f"{per_second}/second"}
        campaign = Campaign(bench.folder / f"limit-{per_second}", smtp=receiver.port, limits=limits)
        usage = campaign.run(bench.recipients(count))
    stamps = receiver.record["stamps"]
    if len(stamps) != count:
        raise BenchmarkError(f"the receiver took {len(stamps)} messages instead of {count}")
    used, most = share(stamps, per_second, seconds), fullest(stamps, 1.0)
    say(f"  {per_second}/second: {usage.seconds:.1f} s, {usage.cpu_seconds / usage.seconds:.1%} of one core")
    what = f"{per_second}/second for {seconds} s"
    return [
        Line(f"{what}: used", f"{used:.2%}", wanted="≥ 99 %", reached=used >= 0.99),
        Line(f"{what}: fullest second", str(most), wanted=f"≤ {per_second}", reached=most <= per_second),
    ]
