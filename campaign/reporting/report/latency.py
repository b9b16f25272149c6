"""How long a service took, from numbers that were rounded and counted before: quantiles and a histogram."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bars of the histogram in a decade of time.
BINS_A_DECADE = 20
#: Nothing is told apart below (seconds).
_MIN_LATENCY_S = 1e-4
#: The share of the answers at either end that the histogram may leave out.
_OUTLIER_SHARE = 0.005


@dataclass(slots=True)
class Latency:
    """The answers of one service."""

    _all: Counter[float] = field(default_factory=Counter)
    _slots: dict[int, Counter[float]] = field(default_factory=lambda: defaultdict(Counter))

    def note(self, slot: int, seconds: float, number: int) -> None:
        """Count answers that took so long and whose calls began in a slot."""
        self._all[seconds] += number
        # a slot is a dot in a chart: two digits do, and keep the memory small
        self._slots[slot][float(f"{seconds:.1e}")] += number

    @property
    def number(self) -> int:
        """How many answers there were."""
        return self._all.total()

    @property
    def slowest(self) -> float:
        """The longest of them (seconds)."""
        return max(self._all, default=0.0)

    def quantile(self, share: float) -> float:
        """Return the seconds within which this share of the answers came; 0 if there were none."""
        return _quantile(self._all, share)

    def by_slot(self, share: float) -> dict[int, float]:
        """Return the same for each slot in which calls began."""
        return {slot: _quantile(counts, share) for slot, counts in self._slots.items()}

    def bins(self) -> list[tuple[float, float, int]]:
        """Return (from, to, number) in seconds for adjacent bars of equal ratio, from one that is not empty to another.

        A few stragglers at either end are left out, for they would press the rest together.
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
