"""A million recipients: memory, the rate compared with a small run, `status` during the run, a resume without work."""

from __future__ import annotations

import json
import statistics
import threading
from typing import TYPE_CHECKING

from harness.bench import Line, say
from harness.child import BenchmarkError
from harness.program import Campaign

from campaign.model import Status

if TYPE_CHECKING:
    from pathlib import Path

    from harness.bench import Bench
    from harness.child import Child
    from harness.sink import Sink, Span

_SMALL = 10_000
_PEAK_MB, _RESUME_SECONDS, _STATUS_SECONDS = 150, 10, 1


def million(bench: Bench) -> list[Line]:
    """Send to a million recipients between small runs of 10,000, ask for `status` meanwhile, then resume."""
    count, rounds = bench.pick(1_000_000, 50_000), bench.pick(3, 1)
    everybody, some = bench.recipients(count), bench.recipients(_SMALL)
    with bench.sink() as sink:
        small = Campaign(bench.folder / "small", smtp=sink.port)
        large = Campaign(bench.folder / "large", smtp=sink.port)
        rates = [_small_run(sink, small, some) for _ in range(rounds)]
        with sink.expecting(count), sink.watching() as span:
            child = large.start(everybody)
            looks = _look(large, child, span, every=bench.pick(15, 1))
            whole = child.wait()
        rates += [_small_run(sink, small, some) for _ in range(rounds)]
        with sink.expecting(0):
            resume = large.resume(everybody)
    rate = count / whole.seconds
    ratio = rate / statistics.median(rates)
    peak = max(whole.peak_mb, resume.peak_mb)
    say(
        f"  {count:,}: {rate:,.0f}/s, {whole.seconds:.1f} s, of which {span.waited:.1f} s before the first message;"
        f" {span.rate:,.0f}/s from then on; {whole.cpu_seconds / count * 1e6:.0f} µs of CPU each;"
        f" peak {whole.peak_mb:.0f} MB, of the resume {resume.peak_mb:.0f} MB"
    )
    what = f"{count:,} recipients"
    slowest = f"{max(looks):.2f} s" if looks else "not asked"
    return [
        Line(f"{what}: peak memory", f"{peak:.0f} MB", wanted=f"< {_PEAK_MB} MB", reached=peak < _PEAK_MB),
        Line(
            f"{what}: rate against that at {_SMALL:,}",
            f"{rate:,.0f}/s",
            peer=f"campaign {statistics.median(rates):,.0f}/s",
            ratio=f"{ratio:.2f}",
            wanted="≥ 0.9",
            reached=ratio >= 0.9,
        ),
        Line(
            f"{what}: resume with nothing to do",
            f"{resume.seconds:.1f} s",
            wanted=f"< {_RESUME_SECONDS} s",
            reached=resume.seconds < _RESUME_SECONDS,
        ),
        Line(
            f"{what}: slowest `status` of {len(looks)} meanwhile",
            slowest,
            wanted=f"< {_STATUS_SECONDS} s",
            reached=bool(looks) and max(looks) < _STATUS_SECONDS,
        ),
    ]


def _small_run(sink: Sink, campaign: Campaign, recipients: Path) -> float:
    with sink.expecting(_SMALL), sink.watching() as span:
        usage = campaign.run(recipients)
    rate = _SMALL / usage.seconds
    say(f"  {_SMALL:,}: {rate:,.0f}/s, {usage.seconds:.2f} s; {span.rate:,.0f}/s from the first message on")
    return rate


def _look(campaign: Campaign, child: Child, span: Span, *, every: float) -> list[float]:
    """Return the duration in seconds of each `status` while messages were sent.

    Raises:
        BenchmarkError: `status` counted a recipient twice or not at all.
    """
    took: list[float] = []
    pause = threading.Event()
    while child.running:
        pause.wait(every if span.begun else 0.2)
        if span.begun and child.running:
            usage = campaign.status()
            took.append(usage.seconds)
            told = json.loads(usage.output)
            counts = {state: told[state] for state in Status}
            if sum(counts.values()) != told["recipients"]:
                raise BenchmarkError(f"the states do not add up to {told['recipients']:,}: {counts}")
    return took
