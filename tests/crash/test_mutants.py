"""The checker bites: senders in which one promise is broken on purpose are caught."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from crash.bent import MUTANTS
from crash.drive import Loop
from crash.scenario import Scenario

if TYPE_CHECKING:
    from pathlib import Path

#: What must notice each mutant, and how much trouble and how many kills it takes to show.
CAUGHT_BY = {
    "no_intent_before_the_dot": ({"I9"}, 1.0, 2),
    "resend_on_a_lost_reply": ({"I2"}, 4.0, 0),
    "lost_reply_is_failure": ({"I4", "I7"}, 4.0, 0),
    "revoke_left_out": ({"I8"}, 1.0, 0),
    "recovery_sends_again": ({"I2"}, 1.0, 8),
    "orphans_not_counted": ({"I8"}, 1.0, 8),
    "token_id_not_kept": ({"I9"}, 1.0, 0),
    "tokens_mixed_up": ({"I5", "I6"}, 1.0, 0),
    "token_in_the_output": ({"I12"}, 1.0, 0),
}


@pytest.mark.long
@pytest.mark.parametrize("mutant", CAUGHT_BY)
def test_each_mutant_is_caught(mutant: str, tmp_path: Path) -> None:
    """A sender that breaks a promise does not get the verdict that it kept it."""
    invariants, trouble, kills = CAUGHT_BY[mutant]
    scenario = Scenario(recipients=300, seed=11, trouble=trouble)
    loop = Loop(scenario, kills, tmp_path / "loop", command=[sys.executable, "-m", "crash.bent", mutant])
    verdict = loop.run()
    assert invariants <= set(verdict.violated), verdict.table()


def test_every_mutant_is_tried() -> None:
    """No mutant is left out."""
    assert set(CAUGHT_BY) == set(MUTANTS)
