"""Quantiles and a histogram of a service's latencies, from rounded and counted durations: `LatencyFigures`."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bars of the histogram per decade.
BINS_A_DECADE = 20
#: Shorter latencies count as this one in the histogram (seconds).
_MIN_LATENCY_S = 1e-4
#: The share of the answers at each end that the histogram may leave out.
_OUTLIER_SHARE = 0.005


@dataclass(slots=True)
class LatencyFigures:
    """The latencies of one service."""

    _all: Counter[float] = field(default_factory=Counter)
    _slots: dict[int, Counter[float]] = field(default_factory=lambda: defaultdict(Counter))

    def note(self, slot: int, seconds: float, number: int) -> None:
        """Count `number` answers that took `seconds` each, to calls that began in this slot."""
        self._all[seconds] += number
        # A slot is one dot in a chart: two digits are enough, and they save memory.
        self._slots[slot][float(f"{seconds:.1e}")] += number

    @property
    def number(self) -> int:
        """The number of answers."""
        return self._all.total()

    @property
    def slowest(self) -> float:
        """The longest latency (seconds)."""
        return max(self._all, default=0.0)

    def quantile(self, share: float) -> float:
        """Return the seconds within which this share of the answers came; 0 if there were no answers."""
        return _quantile(self._all, share)

    def by_slot(self, share: float) -> dict[int, float]:
        """Return this quantile for each slot, by the slot in which the calls began."""
        return {slot: _quantile(counts, share) for slot, counts in self._slots.items()}

    def bins(self) -> list[tuple[float, float, int]]:
        """Return (from, to, number) in seconds for adjacent histogram bars, equally wide on a logarithmic axis.

        Outliers at both ends are left out, because they would squeeze the other bars.
        """
        bars: Counter[int] = Counter()
        for seconds, number in self._all.items():
            bars[_bar(seconds)] += number
        if not bars:
            return []
        first, last = _bar(self.quantile(_OUTLIER_SHARE)), _bar(self.quantile(1 - _OUTLIER_SHARE))
        edges = [10 ** (bar / BINS_A_DECADE) for bar in range(first, last + 2)]
        return [(start, end, bars[first + place]) for place, (start, end) in enumerate(pairwise(edges))]


def _bar(seconds: float) -> int:
    return math.floor(math.log10(max(seconds, _MIN_LATENCY_S)) * BINS_A_DECADE + 1e-9)


def _quantile(counts: Mapping[float, int], share: float) -> float:
    rank, seen = math.ceil(sum(counts.values()) * share), 0
    for seconds, number in sorted(counts.items()):
        seen += number
        if seen >= rank:
            return seconds
    return 0.0
