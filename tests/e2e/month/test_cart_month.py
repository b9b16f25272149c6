"""The cart campaign over the weeks of both clock changes, run by run: everybody gets exactly what is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.month.carts import made_up_carts
from support.month.play import BEGIN, Month

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.long
def test_every_cart_gets_exactly_its_mails(tmp_path: Path) -> None:
    """Each of 600 carts in four weeks gets the steps that an independent reading of the rules gives it."""
    carts = made_up_carts(600, seed=5, begin=BEGIN, days=24)
    month = Month(tmp_path, carts, days=28, seed=5, every=4.0, kills=0.1, outages=0.12)
    oracle = month.play()
    assert not oracle.violations, "\n".join(oracle.violations[:20])
    assert oracle.mailed > 500
    assert month.killed > 5
    assert month.failed > 5
