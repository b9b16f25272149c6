"""Mutation tests of the checker: it catches senders in which one promise was broken on purpose."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.crash.loop import Loop
from support.crash.mutants import MUTANTS
from support.crash.scenario import CONNECTIONS, Scenario
from support.servers.script import Drop, Fault, Reply, Silence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.crash.loop import Progress


@dataclass(frozen=True)
class Hunt:
    """What reveals a mutant among random faults and kills: the violated invariants, the amount of faults, the kills."""

    invariants: set[str]
    trouble: float = 1.0
    kills: int = 0
    #: Seconds that the mail server takes per message, so that more messages wait than there are connections.
    latency: float = 0.0
    #: The people are on Clerk's waitlist.
    waitlist: bool = False


CAUGHT_BY = {
    "no_intent_before_the_dot": Hunt({"I9"}, kills=2),
    "intents_made_ahead": Hunt({"I17"}, kills=8, latency=0.1),
    "resend_on_a_lost_reply": Hunt({"I2"}, trouble=4.0),
    "lost_reply_is_failure": Hunt({"I4", "I7"}, trouble=4.0),
    "revoke_left_out": Hunt({"I8"}),
    "recovery_sends_again": Hunt({"I2"}, kills=8),
    "orphans_not_counted": Hunt({"I8"}, kills=8),
    "token_id_not_kept": Hunt({"I9"}),
    "tokens_mixed_up": Hunt({"I5", "I6"}),
    "token_in_the_output": Hunt({"I12"}),
    "suppression_ignored": Hunt({"I18"}, kills=1),
    "refused_not_suppressed": Hunt({"I18"}),
    "returned_not_suppressed": Hunt({"I19"}),
    "users_asked_for_again": Hunt({"I20"}, waitlist=True),
    "users_without_intent": Hunt({"I20"}, waitlist=True),
}

#: Where the kills hit is up to chance, so a mutant has to be caught with one of this many seeds.
_SEEDS = range(11, 16)


@dataclass(frozen=True)
class Trap:
    """What reveals a mutant with certainty: the violated invariants, and for some a kill at one moment."""

    invariants: set[str]
    kill_when: Callable[[Progress], bool] | None = None
    at_mail_server: tuple[Fault, ...] = ()
    at_clerk: tuple[Fault, ...] = ()
    recipients: int = 12
    waitlist: bool = False
    #: How often people say no, and mails come back, beside the run; once more people say no before it.
    beside: int = 0


_LOST_AND_REFUSED = (
    Fault("dot", Drop(done=True), skip=1, times=2),
    Fault("rcpt", Reply("550 5.1.1 No such user"), skip=5, times=2),
)
_NO_REPLY = (Fault("dot", Silence(5.0, done=True), times=CONNECTIONS),)

#: Mutants that need neither random faults nor kills at random moments.
AT_ONCE = {
    "no_intent_before_the_dot": Trap({"I9"}, None, _LOST_AND_REFUSED),
    "intents_made_ahead": Trap({"I17"}, lambda run: run.states["sending"] > CONNECTIONS, _NO_REPLY, recipients=40),
    "resend_on_a_lost_reply": Trap({"I2"}, None, _LOST_AND_REFUSED),
    "lost_reply_is_failure": Trap({"I4", "I7"}, None, _LOST_AND_REFUSED),
    "revoke_left_out": Trap({"I8"}, None, _LOST_AND_REFUSED),
    "recovery_sends_again": Trap({"I2"}, lambda run: run.accepted >= 1, _NO_REPLY),
    "orphans_not_counted": Trap(
        {"I8"}, lambda run: run.tokens >= 1, at_clerk=(Fault("create", Silence(5.0, done=True), times=1),)
    ),
    "token_id_not_kept": Trap({"I9"}, None, _LOST_AND_REFUSED),
    # of the four mails whose tokens are mixed up, the one before may be refused: then no token is in two mails
    "tokens_mixed_up": Trap({"I5", "I6"}, recipients=420),
    "token_in_the_output": Trap({"I12"}, None, _LOST_AND_REFUSED),
    "suppression_ignored": Trap({"I18"}, beside=1),
    "refused_not_suppressed": Trap({"I18"}, None, _LOST_AND_REFUSED),
    "returned_not_suppressed": Trap({"I19"}, beside=1, recipients=40),
    "users_asked_for_again": Trap({"I20"}, at_clerk=(Fault("user", Drop(done=True), skip=2, times=1),), waitlist=True),
    "users_without_intent": Trap({"I20"}, waitlist=True),
}


def spring(trap: Trap, folder: Path, *command: str) -> Loop:
    scenario = Scenario(
        recipients=trap.recipients,
        trouble=0.0,
        verify=False,
        certain=trap.at_mail_server,
        certain_at_clerk=trap.at_clerk,
        first_delay=0.05,
        waitlist=trap.waitlist,
    )
    whole = [sys.executable, "-m", *command]
    return Loop(scenario, 0, folder, command=whole, once_more=False, kill_when=trap.kill_when, beside=trap.beside)


@pytest.mark.long
@pytest.mark.parametrize("mutant", AT_ONCE)
def test_a_mutant_is_caught_at_once(mutant: str, tmp_path: Path) -> None:
    """A few recipients, with faults and a kill at given moments, are enough to reveal a broken promise."""
    loop = spring(AT_ONCE[mutant], tmp_path / "loop", "support.crash.mutants", mutant)
    verdict = loop.run()
    assert loop.killed == (loop.kill_when is not None)
    assert AT_ONCE[mutant].invariants <= set(verdict.violated), verdict.table()


def test_the_unbent_sender_is_not_caught(tmp_path: Path) -> None:
    """The unchanged program passes the same short test."""
    verdict = spring(AT_ONCE["lost_reply_is_failure"], tmp_path / "loop", "campaign").run()
    assert verdict.holds, verdict.table()
    assert (verdict.states["uncertain"], verdict.states["failed"], verdict.states["sent"]) == (2, 2, 8)


@pytest.mark.long
@pytest.mark.parametrize("mutant", ["recovery_sends_again", "orphans_not_counted"])
def test_the_unbent_sender_is_not_caught_at_the_same_kill(mutant: str, tmp_path: Path) -> None:
    """The unchanged program, killed at the moment that reveals a mutant, keeps every promise."""
    loop = spring(AT_ONCE[mutant], tmp_path / "loop", "campaign")
    verdict = loop.run()
    assert verdict.holds, verdict.table()
    assert loop.killed == 1


def test_the_unbent_sender_makes_each_user_once(tmp_path: Path) -> None:
    """The unchanged program, whose request for a user is carried out and its answer lost, asks for it only once."""
    verdict = spring(AT_ONCE["users_asked_for_again"], tmp_path / "loop", "campaign").run()
    assert verdict.holds, verdict.table()
    assert verdict.states["sent"] == 12


@pytest.mark.long
def test_the_unbent_sender_makes_no_intents_ahead(tmp_path: Path) -> None:
    """The unchanged program never has more messages in `sending` than it has connections."""
    loop = spring(AT_ONCE["intents_made_ahead"], tmp_path / "loop", "campaign")
    verdict = loop.run()
    assert loop.killed == 0
    assert verdict.holds, verdict.table()


@pytest.mark.long
@pytest.mark.parametrize("mutant", CAUGHT_BY)
def test_each_mutant_is_caught(mutant: str, tmp_path: Path) -> None:
    """A mutant's run is rejected with the expected invariants."""
    hunt = CAUGHT_BY[mutant]
    verdicts = []
    for seed in _SEEDS:
        scenario = Scenario(
            recipients=300, seed=seed, trouble=hunt.trouble, latency=hunt.latency, waitlist=hunt.waitlist
        )
        command = [sys.executable, "-m", "support.crash.mutants", mutant]
        verdicts.append(Loop(scenario, hunt.kills, tmp_path / str(seed), command=command).run())
        if hunt.invariants <= set(verdicts[-1].violated):
            return
    pytest.fail("\n".join(verdict.table() for verdict in verdicts))


def test_every_mutant_is_tried() -> None:
    """Every mutant has a test."""
    assert set(CAUGHT_BY) == set(MUTANTS)
    assert set(AT_ONCE) == set(MUTANTS)
