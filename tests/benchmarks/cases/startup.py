"""The duration of `campaign --help`."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING

from harness.bench import Line
from harness.child import measure
from harness.program import COMMAND, environment

if TYPE_CHECKING:
    from harness.bench import Bench

_SECONDS = 0.3


def startup(bench: Bench) -> list[Line]:
    """Measure `campaign --help` and an empty Python program, each as the median of several runs."""
    rounds, env = bench.pick(15, 5), environment()
    helped, bare = [], []
    for _ in range(rounds):
        helped.append(measure((*COMMAND, "--help"), env=env, cwd=bench.folder).seconds)
        bare.append(measure((sys.executable, "-c", "pass"), env=env, cwd=bench.folder).seconds)
    seconds, least = statistics.median(helped), statistics.median(bare)
    return [
        Line(
            "`campaign --help`",
            f"{seconds:.3f} s",
            peer=f"bare python {least:.3f} s",
            ratio=f"{seconds / least:.1f}",
            wanted=f"< {_SECONDS} s",
            reached=seconds < _SECONDS,
        )
    ]
