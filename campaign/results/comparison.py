"""Compare the share of those mailed who signed in with the share of those held out: `difference`."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

#: The quantile of the normal distribution for an interval of 95 %.
_Z = 1.959964


class Difference(NamedTuple):
    """The difference of two shares and its interval of 95 % confidence, each from -1 to 1."""

    mailed: float
    held_out: float
    lowest: float
    highest: float

    @property
    def points(self) -> float:
        """By how much more of those mailed signed in."""
        return self.mailed - self.held_out

    @property
    def is_clear(self) -> bool:
        """Whether chance alone would show such a difference in less than one of twenty campaigns."""
        return self.lowest > 0 or self.highest < 0


def difference(signed_in: int, mailed: int, signed_in_held_out: int, held_out: int) -> Difference | None:
    """Return the difference of two independent shares; None if one of the groups is empty.

    The interval is Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, 873-890, method 10), which also
    holds for small groups and for shares near 0 and 1.
    """
    if not mailed or not held_out:
        return None
    first, other = signed_in / mailed, signed_in_held_out / held_out
    low, high = _wilson(signed_in, mailed)
    other_low, other_high = _wilson(signed_in_held_out, held_out)
    points = first - other
    return Difference(
        first,
        other,
        points - sqrt((first - low) ** 2 + (other_high - other) ** 2),
        points + sqrt((high - first) ** 2 + (other - other_low) ** 2),
    )


def _wilson(hits: int, number: int) -> tuple[float, float]:
    """Return Wilson's score interval of a share (Journal of the American Statistical Association 22, 1927, 209-212)."""
    share, square = hits / number, _Z**2
    middle = (share + square / (2 * number)) / (1 + square / number)
    half = _Z / (1 + square / number) * sqrt(share * (1 - share) / number + square / (4 * number**2))
    return middle - half, middle + half
