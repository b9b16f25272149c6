"""Variants of a test of which one or a few run by default, and all with `pytest -m long`: `variants`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable


def variants(names: Iterable[str], *by_default: str) -> list[Any]:
    """Return values for `pytest.mark.parametrize`, with the mark `long` for those that do not run by default.

    Args:
        names: the names of all variants.
        by_default: the names of those that stand for all; the first one, if none is given.
    """
    every = list(names)
    stand = by_default or every[:1]
    assert set(stand) <= set(every), stand
    return [name if name in stand else pytest.param(name, marks=pytest.mark.long) for name in every]
