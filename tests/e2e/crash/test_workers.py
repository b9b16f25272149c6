"""Several runs on one log in PostgreSQL: the crash loop, and mutants of the fence, the lease, recovery and commits."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.crash.records import read_states
from support.crash.scenario import CONNECTIONS, Scenario
from support.crash.workers import LEASE_S, Stage, WorkersLoop
from support.servers.script import Delay, Fault, Silence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.crash.checker import Verdict

pytestmark = pytest.mark.long


def test_the_promise_holds_for_several_workers(tmp_path: Path) -> None:
    """Three runs that are killed, suspended, cut off and lose their server keep every invariant."""
    loop = WorkersLoop(Scenario(recipients=400, seed=4, latency=0.02), tmp_path / "loop", kills=4)
    verdict = loop.run()
    assert verdict.holds, verdict.table()
    assert sorted(loop.happened) == ["cut", "hold", *["kill"] * 4, "nap", "restart"]
    assert verdict.states["sent"] > 300


def play(folder: Path, scene: Callable[[Stage], None], scenario: Scenario, *, mutant: str = "") -> Verdict:
    """Play a scene with the program or a mutant, finish with the program, and return the verdict."""
    command = [sys.executable, "-m", *(["support.crash.mutants", mutant] if mutant else ["campaign"])]
    return WorkersLoop(scenario, folder / "loop", workers=2, command=command, play=scene).run()


def few(recipients: int, *, at_mail_server: tuple[Fault, ...] = (), **more: object) -> Scenario:
    return Scenario(recipients=recipients, trouble=0.0, verify=False, first_delay=0.05, certain=at_mail_server, **more)  # type: ignore[arg-type]


def lose_an_intent(stage: Stage) -> None:
    """End the connection of a worker when its first intents are to be committed."""
    stage.proxy.lose_commit(answered=False, after=b"SET state = 'sending'")
    stage.start(0).wait()
    assert stage.proxy.lost


def sleep_too_long(stage: Stage) -> None:
    """Suspend a worker between token and intent until another one has asked for a token for the same row."""
    first = stage.start(0)
    stage.until(lambda: read_states(stage.url)["issuing"] == 1 and _has_token(stage))
    first.send_signal(signal.SIGSTOP)
    stage.until(_after(LEASE_S))
    second = stage.start(1)
    stage.until(lambda: read_states(stage.url)["issuing"] == 1 and not _has_token(stage))
    first.send_signal(signal.SIGCONT)
    first.wait()
    second.wait()


def outlive_the_lease(stage: Stage) -> None:
    """Let a worker run for longer than its lease, and end it."""
    run = stage.start(0)
    stage.until(lambda: stage.accepted.look() > 0)
    stage.until(_after(LEASE_S + 4))
    run.kill()
    run.wait()


def die_after_the_dot(stage: Stage) -> None:
    """Kill a worker that waits for the reply to an accepted message, and start it again."""
    run = stage.start(0)
    stage.until(lambda: stage.accepted.look() > 0)
    run.kill()
    run.wait()
    stage.start(0).wait()


SCENES = {
    "commit_assumed": (lose_an_intent, few(12), {"I9"}),
    "no_fence": (
        sleep_too_long,
        few(
            1,
            at_mail_server=(Fault("rcpt", Delay(8.0), times=1), Fault("data", Delay(3.0), times=1)),
            certain_at_clerk=(Fault("create", Delay(8.0), skip=1, times=1),),
        ),
        {"I7", "I8"},  # it depends on who writes first
    ),
    "lease_not_checked": (outlive_the_lease, few(60, tokens="2/second"), {"I21"}),
    "recovery_sends_again": (
        die_after_the_dot, few(12, at_mail_server=(Fault("dot", Silence(5.0, done=True), times=CONNECTIONS),)), {"I2"}
    ),
}  # fmt: skip
#: What the program is started with that a mutant needs beside its fault, and that breaks no promise.
BESIDE = {"lease_not_checked": "heartbeat_stops"}


@pytest.mark.parametrize("mutant", SCENES)
def test_a_mutant_of_a_worker_is_caught(mutant: str, tmp_path: Path) -> None:
    """A scene in which a promise hangs on the fence, the lease, the recovery or a lost commit reveals its absence."""
    scene, scenario, invariants = SCENES[mutant]
    verdict = play(tmp_path, scene, scenario, mutant=mutant)
    assert not invariants.isdisjoint(verdict.violated), verdict.table()


@pytest.mark.parametrize("mutant", SCENES)
def test_the_unbent_worker_is_not_caught(mutant: str, tmp_path: Path) -> None:
    """The unchanged program keeps every promise in the same scene."""
    scene, scenario, _ = SCENES[mutant]
    verdict = play(tmp_path, scene, scenario, mutant=BESIDE.get(mutant, ""))
    assert verdict.holds, verdict.table()


def _has_token(stage: Stage) -> bool:
    with psycopg.connect(stage.url, options="-c search_path=campaign") as log:
        return log.execute("SELECT 1 FROM delivery WHERE token_id IS NOT NULL").fetchone() is not None


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end
