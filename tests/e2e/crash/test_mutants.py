"""Mutation tests of the checker: it catches senders in which one promise was broken on purpose."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from support.crash.loop import Loop
from support.crash.mutants import MUTANTS
from support.crash.scenario import Scenario
from support.servers.script import Drop, Fault, Reply

if TYPE_CHECKING:
    from pathlib import Path

#: For each mutant the violated invariants, and the amount of faults and the number of kills that reveal it.
CAUGHT_BY = {
    "no_intent_before_the_dot": ({"I9"}, 1.0, 2),
    "intents_made_ahead": ({"I17"}, 1.0, 8),
    "resend_on_a_lost_reply": ({"I2"}, 4.0, 0),
    "lost_reply_is_failure": ({"I4", "I7"}, 4.0, 0),
    "revoke_left_out": ({"I8"}, 1.0, 0),
    "recovery_sends_again": ({"I2"}, 1.0, 8),
    "orphans_not_counted": ({"I8"}, 1.0, 8),
    "token_id_not_kept": ({"I9"}, 1.0, 0),
    "tokens_mixed_up": ({"I5", "I6"}, 1.0, 0),
    "token_in_the_output": ({"I12"}, 1.0, 0),
    "suppression_ignored": ({"I18"}, 1.0, 1),
    "refused_not_suppressed": ({"I18"}, 1.0, 0),
    "returned_not_suppressed": ({"I19"}, 1.0, 0),
}

#: Mutants that need neither random faults nor kills, with the invariants that the short form shows violated.
AT_ONCE = {
    "no_intent_before_the_dot": {"I9"},
    "resend_on_a_lost_reply": {"I2"},
    "lost_reply_is_failure": {"I4", "I7"},
    "revoke_left_out": {"I8"},
    "token_id_not_kept": {"I9"},
    "token_in_the_output": {"I12"},
}

_CERTAIN = (
    Fault("dot", Drop(done=True), skip=1, times=2),
    Fault("rcpt", Reply("550 5.1.1 No such user"), skip=5, times=2),
)


def short(folder: Path, *command: str) -> Loop:
    scenario = Scenario(recipients=12, trouble=0.0, verify=False, certain=_CERTAIN, first_delay=0.05)
    return Loop(scenario, 0, folder, command=[sys.executable, "-m", *command], once_more=False, beside=0)


@pytest.mark.long
@pytest.mark.parametrize("mutant", AT_ONCE)
def test_a_mutant_is_caught_at_once(mutant: str, tmp_path: Path) -> None:
    """Twelve recipients, two lost replies and two refusals are enough to reveal a broken promise."""
    verdict = short(tmp_path / "loop", "support.crash.mutants", mutant).run()
    assert AT_ONCE[mutant] <= set(verdict.violated), verdict.table()


def test_the_unbent_sender_is_not_caught(tmp_path: Path) -> None:
    """The unchanged program passes the same short test."""
    verdict = short(tmp_path / "loop", "campaign").run()
    assert verdict.holds, verdict.table()
    assert (verdict.states["uncertain"], verdict.states["failed"], verdict.states["sent"]) == (2, 2, 8)


@pytest.mark.long
@pytest.mark.parametrize("mutant", CAUGHT_BY)
def test_each_mutant_is_caught(mutant: str, tmp_path: Path) -> None:
    """A mutant's run is rejected with the expected invariants."""
    invariants, trouble, kills = CAUGHT_BY[mutant]
    scenario = Scenario(recipients=300, seed=11, trouble=trouble)
    loop = Loop(scenario, kills, tmp_path / "loop", command=[sys.executable, "-m", "support.crash.mutants", mutant])
    verdict = loop.run()
    assert invariants <= set(verdict.violated), verdict.table()


def test_every_mutant_is_tried() -> None:
    """Every mutant has a test."""
    assert set(CAUGHT_BY) == set(MUTANTS)
    assert set(AT_ONCE) <= set(MUTANTS)
