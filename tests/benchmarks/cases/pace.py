"""The rate limits of the mail provider and of recipient domains: how much is used, and whether one is exceeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import material
from harness.bench import Line, say
from harness.child import BenchmarkError
from harness.program import Campaign
from harness.service import running
from harness.windows import fullest, share

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from harness.bench import Bench


def rate(bench: Bench) -> list[Line]:
    """A limit of 100/second and one of 14/second, a minute each, by the receiver's own stamps.

    Each is the mail server's first, and then that of each of three domains. A window is any second whatever, not one
    that begins with a tick of the clock.
    """
    return [line for per_second in (100, 14) for hold in (_hold, _hold_domains) for line in hold(bench, per_second)]


def _hold(bench: Bench, per_second: int) -> list[Line]:
    seconds = bench.pick(60, 10)
    # Three seconds more, so that the end of the run lies outside.
    count = per_second * (seconds + 3)
    with running("stamping_smtp.py") as receiver:
        limits = {"messages": f"{per_second}/second"}
        campaign = Campaign(bench.folder / f"limit-{per_second}", smtp=receiver.port, limits=limits)
        usage = campaign.run(bench.recipients(count))
    say(f"  {per_second}/second: {usage.seconds:.1f} s, {usage.cpu_seconds / usage.seconds:.1%} of one core")
    return _lines(f"{per_second}/second for {seconds} s", [receiver.record["stamps"]], per_second, seconds, count)


def _hold_domains(bench: Bench, per_second: int) -> list[Line]:
    seconds = bench.pick(60, 10)
    count = per_second * (seconds + 3)
    with running("stamping_smtp.py") as receiver:
        domains = dict.fromkeys(material.DOMAINS, f"{per_second}/second")
        campaign = Campaign(bench.folder / f"domains-{per_second}", smtp=receiver.port, domains=domains)
        usage = campaign.run(bench.recipients(count * len(domains)))
    stamps = receiver.record["by_domain"].values()
    say(f"  {per_second}/second each: {usage.seconds:.1f} s, {usage.cpu_seconds / usage.seconds:.1%} of one core")
    what = f"{per_second}/second for each of {len(domains)} domains, {seconds} s"
    return _lines(what, stamps, per_second, seconds, count)


def _lines(what: str, records: Collection[Sequence[float]], per_second: int, seconds: int, count: int) -> list[Line]:
    """Return what is to be said of rows of stamps, of `count` messages each: the least use, the fullest second."""
    if any(len(stamps) != count for stamps in records):
        raise BenchmarkError(f"the receiver took {[*map(len, records)]} messages instead of {count} each")
    used = min(share(stamps, per_second, seconds) for stamps in records)
    most = max(fullest(stamps, 1.0) for stamps in records)
    return [
        Line(f"{what}: used", f"{used:.2%}", wanted="≥ 99 %", reached=used >= 0.99),
        Line(f"{what}: fullest second", str(most), wanted=f"≤ {per_second}", reached=most <= per_second),
    ]
