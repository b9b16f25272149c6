"""A contest of senders at one sink in alternating rounds (A B A B), since a machine's speed drifts."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.bench import Line, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.child import Usage
    from harness.sink import Sink


@dataclass(frozen=True, slots=True)
class Entrant:
    """One sender in a contest."""

    name: str
    #: The number of messages or tokens in one round.
    count: int
    turn: Callable[[], Usage]
    #: Whether the sink must have counted exactly `count` messages after a round.
    mails: bool = True


def contest(sink: Sink, rounds: int, entrants: Sequence[Entrant]) -> dict[str, list[float]]:
    """Return the rate of each entrant in each round, including start and end of its process.

    Raises:
        BenchmarkError: an entrant failed, or the sink did not count what it should have.
    """
    reached: dict[str, list[float]] = {entrant.name: [] for entrant in entrants}
    for number in range(1, rounds + 1):
        for entrant in entrants:
            with sink.expecting(entrant.count if entrant.mails else 0):
                usage = entrant.turn()
            rate = entrant.count / usage.seconds
            say(
                f"  round {number} of {rounds}: {entrant.name} {rate:,.0f}/s"
                f" ({usage.seconds:.2f} s, {usage.cpu_seconds / entrant.count * 1e6:.0f} µs of CPU each)"
            )
            reached[entrant.name].append(rate)
    return reached


def versus(what: str, ours: Sequence[float], peer: str, theirs: Sequence[float], least: float | None) -> Line:
    """Return the line of a comparison: medians of the rates, and the median of the rounds' ratios."""
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return Line(
        what,
        figure=f"{statistics.median(ours):,.0f}/s",
        peer=f"{peer} {statistics.median(theirs):,.0f}/s",
        ratio=f"{ratio:.2f}",
        wanted="" if least is None else f"≥ {least:g}",
        reached=None if least is None else ratio >= least,
    )
