"""How a row of time stamps keeps to a rate: pure arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def fullest(stamps: Sequence[float], period: float) -> int:
    """Return the most stamps in any half-open window of `period` seconds, wherever it begins."""
    most = first = 0
    for last, stamp in enumerate(stamps):
        while stamp - stamps[first] >= period:
            first += 1
        most = max(most, last - first + 1)
    return most


def share(stamps: Sequence[float], per_second: float, seconds: float) -> float:
    """Return the part of the allowance that was used in the `seconds` from the first stamp on."""
    used = sum(stamp - stamps[0] < seconds for stamp in stamps)
    return used / (per_second * seconds)
