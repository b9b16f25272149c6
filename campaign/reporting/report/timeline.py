"""Divide a campaign's time into slots of equal width, without long pauses, for its charts: `timeline`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Common slot widths (seconds).
STEPS = (
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0),
    *(3600.0, 7200.0, 10800.0, 21600.0, 43200.0, 86400.0, 172800.0, 604800.0, 2592000.0, 31536000.0),
)
#: The approximate number of slots in a chart.
_TARGET_SLOTS = 120
#: At most this many pauses are cut out. Each must exceed this length (seconds) and this share of the whole.
_MAX_PAUSES = 5
_MIN_PAUSE_S = 300.0
_MIN_PAUSE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Stretch:
    """A run of slots without a long pause; includes both ends."""

    first: int
    last: int

    def __len__(self) -> int:
        """Return the number of slots."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Timeline:
    """Slots of `width` seconds, counted from `origin`, and the stretches in which something happened."""

    #: Seconds since the epoch, a multiple of `width`.
    origin: float
    width: float
    stretches: tuple[Stretch, ...]

    def starts_at(self, slot: int) -> float:
        """Return the instant at which a slot begins."""
        return self.origin + slot * self.width

    def __len__(self) -> int:
        """Return the number of slots in all stretches."""
        return sum(map(len, self.stretches))

    def slots(self) -> Iterator[int]:
        """Yield the slots of all stretches, in order."""
        for stretch in self.stretches:
            yield from range(stretch.first, stretch.last + 1)


def timeline(minutes: Iterable[tuple[float, float]], *, finest: float = 0.1) -> Timeline | None:
    """Return the time line for these minutes, each given by its first and last instant; None if there are none.

    Args:
        minutes: in order.
        finest: the least width of a slot (seconds): a rate shows only if a slot contains several events.
    """
    spans = _spans(minutes)
    if not spans:
        return None
    active = sum(end - start for start, end in spans)
    wanted = max(active / _TARGET_SLOTS, finest)
    width = next((step for step in STEPS if step >= wanted), STEPS[-1])
    origin = spans[0][0] // width * width
    stretches: list[Stretch] = []
    for start, end in spans:
        first, last = int((start - origin) / width), int((end - origin) / width)
        if stretches and first <= stretches[-1].last + 1:
            stretches[-1] = Stretch(stretches[-1].first, last)
        else:
            stretches.append(Stretch(first, last))
    return Timeline(origin, width, tuple(stretches))


def _spans(minutes: Iterable[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return the beginning and end of each stretch, in bounded memory."""
    pauses: list[tuple[float, float, float]] = []
    first = last = None
    for start, end in minutes:
        if first is None or last is None:
            first = start
        elif start - last > _MIN_PAUSE_S:
            pauses.append((start - last, last, start))
            pauses = sorted(pauses, reverse=True)[:_MAX_PAUSES]
        last = end
    if first is None or last is None:
        return []
    whole = last - first
    kept = sorted((until, since) for length, until, since in pauses if length > whole * _MIN_PAUSE_SHARE)
    edges = [first, *(edge for pause in kept for edge in pause), last]
    return list(pairwise(edges))[::2]
