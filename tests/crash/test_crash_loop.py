"""The short form of the crash loop: a few hundred people, all faults, a handful of kills."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crash.drive import Loop
from crash.scenario import Scenario

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", [1, 2])
def test_the_promise_holds_under_faults_and_kills(seed: int, tmp_path: Path) -> None:
    """Killed again and again among faulty servers, the sender keeps every invariant."""
    loop = Loop(Scenario(recipients=400, seed=seed), kills=6, folder=tmp_path / "loop")
    verdict = loop.run()
    assert verdict.holds, verdict.table()
    assert loop.killed == 6
    assert verdict.states["sent"] > 300
