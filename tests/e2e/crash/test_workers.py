"""Several runs on one log in PostgreSQL: the crash loop, and mutants of the fence, the lease, recovery and commits."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.crash.loop import Growth
from support.crash.mutants import MUTANTS_OF_WORKERS
from support.crash.records import read_lines
from support.crash.scenario import CONNECTIONS, Scenario
from support.crash.workers import LEASE_S, WHOLE, Stage, WorkersLoop
from support.servers.script import Delay, Fault, Silence

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.crash.checker import Verdict

pytestmark = pytest.mark.long


def test_the_promise_holds_for_several_workers(tmp_path: Path) -> None:
    """Three runs that are killed, suspended, cut off and lose their server keep every invariant, and all rates."""
    scenario = Scenario(
        recipients=400,
        seed=4,
        latency=0.02,
        messages="40/second",
        tokens="60/second",
        domains=(("d0.example", "6/second"), ("d1.example", "16/2 seconds"), ("d2.example", "70/61 seconds")),
    )
    loop = WorkersLoop(scenario, tmp_path / "loop", kills=4)
    verdict = loop.run()
    assert verdict.holds, verdict.table()
    assert sorted(loop.happened) == ["cut", *["doze"] * 3, "hold", *["kill"] * 4, "nap", "restart"]
    assert next(one.checked for one in verdict.judgements if one.name == "I10") > 1000
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
    """Suspend a worker between token and intent, and let it go on while another one asks for a token for its row."""
    first = stage.start(0)
    stage.until(lambda: _tokens_at_work(stage) == [True])
    first.send_signal(signal.SIGSTOP)
    stage.until(_after(LEASE_S))
    second = stage.start(1)
    stage.until(lambda: _tokens_at_work(stage) == [False])
    first.send_signal(signal.SIGCONT)
    # without a lease it would write no intent, with or without a fence
    stage.until(lambda: "its rows were given to others; it goes on" in stage.senders[0].last_output())
    left = Growth(stage.records / "smtp.jsonl", "close")
    before = left.look()
    stage.allow("rcpt")
    stage.until(lambda: stage.accepted.look() > 0 or left.look() > before)
    stage.allow("create")
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


def run_both(stage: Stage) -> None:
    """Let two workers run to their end."""
    for run in [stage.start(0), stage.start(1)]:
        run.wait()


def sleep_before_the_dot(stage: Stage) -> None:
    """Let a worker suspend itself between intent and dot; wake it when another one has recovered its rows."""
    first = stage.start(0)
    stage.until(lambda: _is_stopped(first.pid))
    stage.until(_after(LEASE_S + 2))
    stage.senders[1].command = WHOLE  # it would suspend itself, too
    stage.start(1).wait()
    first.send_signal(signal.SIGCONT)
    first.wait()


SCENES = {
    "commit_assumed": (lose_an_intent, few(12), {"I9"}),
    "no_fence": (
        sleep_too_long,
        few(
            1,
            at_mail_server=(Fault("rcpt", Delay(0.0, until="rcpt"), times=1),),
            certain_at_clerk=(Fault("create", Delay(0.0, until="create"), skip=1, times=1),),
        ),
        {"I7"},
    ),
    "permits_doubled": (run_both, few(60, link=False, messages="10/second"), {"I10"}),
    "used_permits_given_back": (run_both, few(24, link=False, messages="12/61 seconds"), {"I10"}),
    "lease_forgotten_while_late": (sleep_before_the_dot, few(6, messages="20/second"), {"I21"}),
    "lease_not_checked": (outlive_the_lease, few(60, tokens="2/second"), {"I21"}),
    "recovery_sends_again": (
        die_after_the_dot, few(12, at_mail_server=(Fault("dot", Silence(5.0, done=True), times=CONNECTIONS),)), {"I2"}
    ),
}  # fmt: skip
#: What the program is started with that a mutant needs beside its fault, and that breaks no promise.
BESIDE = {"lease_not_checked": "heartbeat_stops", "lease_forgotten_while_late": "sleeps_before_the_dot"}
#: The program would wait for more than a minute; `test_worker_rates.py` has it use up a budget.
TOO_LONG = {"used_permits_given_back"}


@pytest.mark.parametrize("mutant", SCENES)
def test_a_mutant_of_a_worker_is_caught(mutant: str, tmp_path: Path) -> None:
    """A scene in which a promise hangs on the fence, the lease, the recovery or a lost commit reveals its absence."""
    scene, scenario, invariants = SCENES[mutant]
    verdict = play(tmp_path, scene, scenario, mutant=mutant)
    assert not invariants.isdisjoint(verdict.violated), verdict.table()


@pytest.mark.parametrize("mutant", [mutant for mutant in SCENES if mutant not in TOO_LONG])
def test_the_unbent_worker_is_not_caught(mutant: str, tmp_path: Path) -> None:
    """The unchanged program keeps every promise in the same scene."""
    scene, scenario, _ = SCENES[mutant]
    verdict = play(tmp_path, scene, scenario, mutant=BESIDE.get(mutant, ""))
    assert verdict.holds, verdict.table()


def test_every_mutant_of_a_worker_is_tried() -> None:
    """Every mutant of a run that shares its log has a scene."""
    assert set(SCENES) | set(BESIDE.values()) == {*MUTANTS_OF_WORKERS, "recovery_sends_again"}


def test_a_killed_worker_loses_its_permits_and_the_other_keeps_its_rate(tmp_path: Path) -> None:
    """Permits that a worker had at kill -9 go to no other one, and the other one soon has the whole rate."""
    found: dict[str, list[int]] = {}
    killed_at: list[float] = []

    def kill_with_permits(stage: Stage) -> None:
        runs = [stage.start(0), stage.start(1)]
        stage.until(lambda: stage.accepted.look() > 40)
        while not found:
            runs[0].send_signal(signal.SIGSTOP)
            stage.until(_after(1.0))  # by now the other worker has used its own
            if lost := _held_permits(stage, older_than_s=0.6):
                found["lost"] = lost
            else:
                runs[0].send_signal(signal.SIGCONT)
                stage.until(_after(0.3))
        runs[0].kill()
        killed_at.append(time.monotonic())
        runs[0].wait()
        runs[1].wait()
        found["still lost"] = [number for number in _held_permits(stage, older_than_s=0.6) if number in found["lost"]]

    loop = WorkersLoop(few(260, link=False, messages="20/second"), tmp_path / "loop", workers=2, play=kill_with_permits)
    verdict = loop.run()
    assert verdict.holds, verdict.table()
    assert found["still lost"] == found["lost"]
    lines = read_lines(tmp_path / "loop/records/smtp.jsonl")
    times = [line["t"] for line in lines if line["event"] == "accept" and killed_at[0] + 1 < line["t"]]
    within = [at for at in times if at < killed_at[0] + 4]
    assert len(within) > 0.85 * 3 * 20, "the other worker has the whole rate"


def test_a_standby_takes_over_and_nothing_is_lost(tmp_path: Path) -> None:
    """When the server is lost, workers wait, say so, and go on with the standby that was promoted."""
    said: list[str] = []

    def fail_over(stage: Stage) -> None:
        assert stage.standby is not None
        runs = [stage.start(number) for number in range(2)]
        stage.until(lambda: stage.accepted.look() > 60)
        stage.server.halt()
        stage.until(lambda: all("Waiting for PostgreSQL" in sender.last_output() for sender in stage.senders))
        stage.standby.promote()
        for run in runs:
            run.wait()
        said.extend(sender.last_output() for sender in stage.senders)

    scenario = few(300, messages="60/second", latency=0.02)
    verdict = WorkersLoop(scenario, tmp_path / "loop", workers=2, has_standby=True, play=fail_over).run()
    assert verdict.holds, verdict.table()
    assert all("PostgreSQL answers again; the run goes on." in each for each in said)


def test_a_run_says_that_a_standby_lacks_what_was_committed(tmp_path: Path) -> None:
    """An asynchronous standby may lack intents: who goes on there sends nothing more, instead of a second mail."""
    codes: list[int] = []
    said: list[str] = []
    #: Before the standby was promoted, and after both runs had ended.
    between: list[float] = []

    def fail_over(stage: Stage) -> None:
        assert stage.standby is not None
        runs = [stage.start(number) for number in range(2)]
        stage.until(lambda: stage.accepted.look() > 40)
        with stage.server.admin() as connection:
            for (pid,) in connection.execute("SELECT pid FROM pg_stat_replication").fetchall():
                os.kill(pid, signal.SIGSTOP)
        reached = stage.accepted.look() + 40
        stage.until(lambda: stage.accepted.look() > reached)
        stage.server.halt()
        stage.until(lambda: all("Waiting for PostgreSQL" in sender.last_output() for sender in stage.senders))
        stage.until(_after(1.0))  # a mail that was on its way has arrived
        between.append(time.monotonic())
        stage.standby.promote()
        codes.extend(run.wait() for run in runs)
        between.append(time.monotonic())
        said.extend(sender.last_output() for sender in stage.senders)

    scenario = few(200, messages="20/second", latency=0.02)
    loop = WorkersLoop(scenario, tmp_path / "loop", workers=2, has_standby=True, is_synchronous=False, play=fail_over)
    verdict = loop.run()
    assert codes == [1, 1], said
    assert all("lacks changes that were committed" in each for each in said), said
    # by the time of the dot: the mail server looks for each intent in the log, and waits for a log that is away
    lines = read_lines(tmp_path / "loop/records/smtp.jsonl")
    assert [line for line in lines if line["event"] == "accept" and between[0] < line["t"] < between[1]] == []
    assert "I2" in verdict.violated, "the last run, which cannot know, sends second mails"


def _held_permits(stage: Stage, *, older_than_s: float) -> list[int]:
    with psycopg.connect(stage.url, options="-c search_path=campaign") as log:
        rows = log.execute(
            "SELECT number FROM permit WHERE bucket = 'messages' AND state = 'held' AND at < instant_now() - %s "
            "ORDER BY number",
            (older_than_s,),
        )
        return [number for (number,) in rows]


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(") ")[2].startswith("T")


def _tokens_at_work(stage: Stage) -> list[bool]:
    """Return for each row in `issuing` whether its token is known, by one statement: it is recovered in between."""
    with psycopg.connect(stage.url, options="-c search_path=campaign") as log:
        rows = log.execute("SELECT token_id IS NOT NULL FROM delivery WHERE state = 'issuing'")
        return [has_token for (has_token,) in rows]


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end
