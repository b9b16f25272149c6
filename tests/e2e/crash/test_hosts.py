"""Two hosts that share nothing but the network and a log in PostgreSQL; links are cut for longer than a lease."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from support.crash.hosts import HostsLoop
from support.crash.scenario import CONNECTIONS, Scenario
from support.crash.workers import LEASE_S
from support.netns import LOG, SERVICES, hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.crash.checker import Verdict
    from support.crash.workers import Stage
    from support.netns import Hosts

pytestmark = pytest.mark.long

_WAITS, _GOES_ON = "Waiting for PostgreSQL at", "PostgreSQL answers again; the run goes on"
_LOST_LEASE = "Nothing was heard of this run for longer than its lease, so its rows were given to others; it goes on"
_OBITUARY = re.compile(r"Process \d+ on host-(\d) was last heard of \d+ s ago; its rows are recovered")
_SCENARIO = Scenario(recipients=300, trouble=0.0, verify=False, first_delay=0.05, messages="20/second", latency=0.02)


@pytest.fixture
def network() -> Iterator[Hosts]:
    """Two hosts of workers, and one of servers."""
    with hosts(2) as made:
        yield made


def play(folder: Path, network: Hosts, disturb: Callable[[Stage], None]) -> tuple[Verdict, list[str]]:
    """Let both hosts send, disturb them amid the run, wait for their end; return the verdict and what each said."""
    said: list[str] = []

    def scene(stage: Stage) -> None:
        runs = [stage.start(number) for number in range(2)]
        stage.until(lambda: stage.accepted.look() > 60)
        disturb(stage)
        codes = [run.wait(300) for run in runs]
        said.extend(sender.last_output() for sender in stage.senders)
        assert set(codes) <= {0, 1}, "\n".join(said)

    verdict = HostsLoop(_SCENARIO, folder / "loop", workers=2, play=scene, hosts=network).run()
    assert sum(verdict.states[state] for state in ("queued", "issuing", "sending")) == 0, verdict.table()
    return verdict, said


@pytest.mark.parametrize("links", [(LOG,), (LOG, SERVICES)], ids=["from the log", "from everything"])
def test_a_host_that_is_cut_off_loses_its_rows_and_goes_on(
    tmp_path: Path, network: Hosts, links: tuple[str, ...]
) -> None:
    """It says what it waits for before the other host has its rows, sends none of them, and goes on when it is back."""

    def cut_off(stage: Stage) -> None:
        network.cut(0, *links)
        stage.until(lambda: _OBITUARY.search(stage.senders[1].last_output()) is not None)
        assert _WAITS in stage.senders[0].last_output(), "the run hangs at a connection that is lost"
        network.join(0, *links)

    verdict, said = play(tmp_path, network, cut_off)
    # a dot that was under way when its link went down arrives when it is up again, and its row is in doubt
    late = verdict.violated.get("I21", ()) if SERVICES in links else ()
    assert len(late) <= min(CONNECTIONS, verdict.uncertain_accepted), verdict.table()
    assert set(verdict.violated) == ({"I21"} if late else set()), verdict.table()
    assert (_WAITS in said[0], _GOES_ON in said[0], _LOST_LEASE in said[0]) == (True, True, True), said[0]
    assert _WAITS not in said[1]


def test_the_host_of_the_log_vanishes_for_both_and_comes_back(tmp_path: Path, network: Hosts) -> None:
    """Both runs say what they wait for, send nothing without the log, and go on when it is back after their leases."""

    def vanish(stage: Stage) -> None:
        for number in range(2):
            network.cut(number, LOG)
        stage.until(lambda: all(_WAITS in sender.last_output() for sender in stage.senders))
        end = time.monotonic() + LEASE_S
        stage.until(lambda: time.monotonic() > end)
        accepted = stage.accepted.look()
        end = time.monotonic() + 2
        stage.until(lambda: time.monotonic() > end)
        assert stage.accepted.look() == accepted, "nothing is sent without a lease"
        for number in range(2):
            network.join(number, LOG)

    verdict, said = play(tmp_path, network, vanish)
    assert verdict.holds, verdict.table()
    assert all(_GOES_ON in each for each in said), said
