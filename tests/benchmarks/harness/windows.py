"""How many time stamps fall into any window of a rate, and how much of the rate is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def fullest(stamps: Sequence[float], period: float) -> int:
    """Return the largest number of stamps in any half-open window of `period` seconds."""
    most = first = 0
    for last, stamp in enumerate(stamps):
        while stamp - stamps[first] >= period:
            first += 1
        most = max(most, last - first + 1)
    return most


def share(stamps: Sequence[float], per_second: float, seconds: float) -> float:
    """Return the share of the allowed messages that was sent in the `seconds` after the first stamp."""
    used = sum(stamp - stamps[0] < seconds for stamp in stamps)
    return used / (per_second * seconds)
