"""The short crash loop: a few hundred recipients, all faults, a few kills."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.crash.loop import Loop
from support.crash.scenario import Scenario
from support.servers.postgres import postgres

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("seed", "messages", "kills", "freezes"),
    [
        (1, None, 2, 0),
        pytest.param(1, None, 5, 0, marks=pytest.mark.long),
        pytest.param(2, "100/second", 5, 1, marks=pytest.mark.long),
    ],
)
def test_the_promise_holds_under_faults_and_kills(
    seed: int, messages: str | None, kills: int, freezes: int, tmp_path: Path
) -> None:
    """A run that is killed repeatedly, and suspended once, at faulty servers keeps every invariant."""
    recipients = 40 * kills
    scenario = Scenario(recipients=recipients, seed=seed, messages=messages)
    loop = Loop(scenario, kills=kills, folder=tmp_path / "loop", freezes=freezes, frozen_for=1.5)
    verdict = loop.run()
    assert verdict.holds, verdict.table()
    assert (loop.killed, loop.frozen) == (kills, freezes)
    assert verdict.states["sent"] > 0.6 * recipients


@pytest.mark.long
def test_the_promise_holds_with_a_log_in_postgresql(tmp_path: Path) -> None:
    """With its log in a database that writes to the disk, a run keeps every invariant despite kills and faults."""
    with postgres(is_durable=True) as server:
        scenario = Scenario(recipients=300, seed=1)
        loop = Loop(scenario, kills=5, folder=tmp_path / "loop", log=server.fresh(is_empty=True))
        verdict = loop.run()
    assert verdict.holds, verdict.table()
    assert loop.killed == 5
    assert verdict.states["sent"] > 200


@pytest.mark.long
def test_the_promise_holds_without_a_link(tmp_path: Path) -> None:
    """A run without a link and without a rate, at a fast server, keeps every invariant despite kills and faults."""
    scenario = Scenario(recipients=400, seed=3, link=False, trouble=0.1)
    loop = Loop(scenario, kills=4, folder=tmp_path / "loop")
    verdict = loop.run()
    assert verdict.holds, verdict.table()
    assert loop.killed == 4
    assert verdict.states["sent"] > 220


@pytest.mark.long
def test_each_user_is_made_once_under_faults_and_kills(tmp_path: Path) -> None:
    """The people of a waitlist are mailed and each gets at most one user, however often the run is killed."""
    scenario = Scenario(recipients=200, seed=6, waitlist=True)
    loop = Loop(scenario, kills=6, folder=tmp_path / "loop")
    verdict = loop.run()
    assert verdict.holds, verdict.table()
    assert loop.killed == 6
    assert verdict.states["sent"] > 140
    made = next(one for one in verdict.judgements if one.name == "I20")
    assert made.checked > 2 * 140
