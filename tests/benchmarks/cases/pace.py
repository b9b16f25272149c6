"""The rate limits of the mail provider and of recipient domains: how much of each is used, and that it is kept."""

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
    """Measure limits of 100/second and 14/second for a minute each, by the receiver's time stamps.

    Each limit is applied first to the mail server, and then to each of three domains. The windows slide: any second
    counts, wherever it begins.
    """
    return [line for per_second in (100, 14) for hold in (_hold, _hold_domains) for line in hold(bench, per_second)]


def _hold(bench: Bench, per_second: int) -> list[Line]:
    seconds = bench.pick(60, 10)
    # Three seconds more, so that the end of the run is not measured.
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
    """Return the table lines for lists of `count` stamps each: the lowest use and the fullest second."""
    if any(len(stamps) != count for stamps in records):
        raise BenchmarkError(f"the receiver took {[*map(len, records)]} messages instead of {count} each")
    used = min(share(stamps, per_second, seconds) for stamps in records)
    most = max(fullest(stamps, 1.0) for stamps in records)
    return [
        Line(f"{what}: used", f"{used:.2%}", wanted="≥ 99 %", reached=used >= 0.99),
        Line(f"{what}: fullest second", str(most), wanted=f"≤ {per_second}", reached=most <= per_second),
    ]
