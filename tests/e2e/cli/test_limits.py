"""Rate limits of whole runs: reached although every step is slow, never exceeded, and kept across restarts."""

from __future__ import annotations

import signal
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import pytest

from support.crash.records import Terms
from support.environment import environment
from support.servers.clerk_script import ClerkScript
from support.servers.script import Delay, Fault
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.record import Event


#: Seconds by which a busy machine may delay a mail, so that it arrives closer to the next one.
JITTER = 0.5


def most_within(events: list[Event], seconds: float) -> int:
    """Return the largest number of events in any window of `seconds`."""
    times = [event["t"] for event in events]
    return max(sum(1 for t in times[at:] if t < first + seconds) for at, first in enumerate(times))


def test_the_rate_is_reached_though_each_step_is_slow(tmp_path: Path) -> None:
    """Tokens that take 150 ms and mails that take 200 ms run in parallel, so 10 connections keep up with the rate."""
    more = '[limits]\nmessages = "40/second"\ntokens = "1000/second"\nconnections = 10\n'
    slow = SmtpScript(faults=(Fault("dot", Delay(0.2)),))
    with environment(tmp_path, 120, clerk=ClerkScript(latency=0.15), smtp=slow, more=more) as env:
        done = env.work.run()
        assert done.returncode == 0, done.stdout
        steady = env.accepted[20:100]
        span = steady[-1]["t"] - steady[0]["t"]
        assert (len(steady) - 1) / span > 12, "a quarter of that is what one after the other would do"
        assert env.accepted[-1]["t"] - env.accepted[0]["t"] > 119 / 40 - JITTER
        assert most_within(env.accepted, 1.0 - JITTER) <= 40
        assert max(event["open"] for event in env.smtp.events("open")) <= 10


@pytest.mark.long
def test_a_slow_domain_holds_nobody_up(tmp_path: Path) -> None:
    """A limit for one domain slows only its own recipients, wherever they are in the CSV."""
    people = [
        {"user_id": f"user_{number}", "email": f"u{number}@{domain}.example", "first_name": "A"}
        for number, domain in enumerate(["slow"] * 5 + ["quick"] * 30 + ["slow"] * 5 + ["quick"] * 30)
    ]
    more = '[limits]\ntokens = "1000/second"\n[limits.domains]\n"slow.example" = "2/second"\n'
    with environment(tmp_path, people, more=more) as env:
        assert env.work.run().returncode == 0
        assert len(set(env.mailed)) == len(env.mailed) == 70
        slow = [event for event in env.accepted if event["rcpt"][0].endswith("@slow.example")]
        quick = [event for event in env.accepted if event["rcpt"][0].endswith("@quick.example")]
        assert quick[-1]["t"] < slow[-3]["t"]
        assert slow[-1]["t"] - slow[0]["t"] > 9 / 2 - JITTER


@pytest.mark.parametrize("number", [5, pytest.param(20, marks=pytest.mark.long)])
def test_a_domain_gets_its_rate_whatever_tokens_take(number: int, tmp_path: Path) -> None:
    """If tokens take up to 0.5 s, a domain's rate is nearly reached and not exceeded, and other domains do not wait."""
    people = [
        {"user_id": f"user_{each}", "email": f"u{each}@{'slow' if each % 2 else 'quick'}.example", "first_name": "A"}
        for each in range(number * 8)
    ]
    waits = tuple(Fault("create", Delay(0.02 + each * 0.048), probability=1 / (11 - each)) for each in range(11))
    more = f'[limits]\ntokens = "1000/second"\nconnections = 2\n[limits.domains]\n"slow.example" = "{number}/second"\n'
    with environment(tmp_path, people, clerk=ClerkScript(faults=waits), more=more) as env:
        assert env.work.run().returncode == 0
        assert len(set(env.mailed)) == len(env.mailed) == number * 8
        slow = [event for event in env.accepted if event["rcpt"][0].endswith("@slow.example")]
        quick = [event for event in env.accepted if event["rcpt"][0].endswith("@quick.example")]
        # a mail that is a few milliseconds late arrives closer to the next one
        assert most_within(slow, 0.9) <= number
        assert median(later["t"] - earlier["t"] for earlier, later in pairwise(slow)) < 1 / number + 0.06
        assert quick[-1]["t"] < slow[len(slow) * 3 // 4]["t"]


def test_a_daily_limit_outlives_the_run(tmp_path: Path) -> None:
    """With a limit of 5 a day already used by earlier runs, a second run sends nothing and can be stopped."""
    more = '[limits]\nmessages = ["100/second", "5/day"]\ntokens = "1000/second"\n'
    with environment(tmp_path, 8, more=more) as env:
        for _ in range(2):
            done = env.work.run("--no-wait")
            assert done.returncode == 1
            assert len(env.accepted) == len(env.tokens) == 5
            assert env.work.status()["queued"] == 3
        assert not env.revoked
        waiting = env.work.start("run", "campaign.toml", "--yes")
        assert waiting.stdout is not None
        while "Waiting" not in waiting.stdout.readline():
            assert waiting.poll() is None
        waiting.send_signal(signal.SIGINT)
        assert waiting.communicate(timeout=30)[1] == ""
        assert waiting.returncode == 130
        assert len(env.accepted) == len(env.tokens) == 5


def test_one_window_is_kept_across_a_restart(tmp_path: Path) -> None:
    """Runs that follow each other share one window, so all their mails together stay within the rate."""
    terms = Terms(rates=((3, 2.0),))
    with environment(tmp_path, 6, link=False, more='[limits]\nmessages = "3/2 seconds"\n') as env:
        for _ in range(3):
            env.work.run("--limit", "2")
        assert len(env.accepted) == 6
        ((count, seconds),) = terms.rates
        assert most_within(env.accepted, seconds - JITTER) <= count


def test_clerks_limit_is_kept_and_never_met(tmp_path: Path) -> None:
    """A token server that enforces its limit never answers 429 (apart from delays of a busy machine)."""
    with environment(
        tmp_path, 50, clerk=ClerkScript(limit=(20, 1.0 - JITTER)), more='[limits]\ntokens = "20/second"\n'
    ) as env:
        assert env.work.run().returncode == 0
        assert len(env.tokens) == 50
        assert {event["status"] for event in env.clerk.events("request")} == {200}


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param('messages = "2/3 seconds"', id="of the server"),
        pytest.param(
            'messages = "2/3 seconds"\n[limits.domains]\n"d0.example" = "9/second"',
            id="and a domain",
            marks=pytest.mark.long,
        ),
        pytest.param('[limits.domains]\n"d0.example" = "2/3 seconds"', id="of a domain", marks=pytest.mark.long),
    ],
)
def test_a_slow_rate_holds_no_server_inside_data(limits: str, tmp_path: Path) -> None:
    """At a rate slower than the server's time-out for DATA, no message begins before its turn is near."""
    people = [{"user_id": f"user_{n}", "email": f"u{n}@d0.example", "first_name": "A"} for n in range(3)]
    smtp = SmtpScript(data_timeout=1.3)
    with environment(tmp_path, people, smtp=smtp, more=f"[limits]\nconnections = 4\n{limits}\n") as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        assert env.smtp.events("refuse") == []
        assert len(env.accepted) == len(env.tokens) == 3
        spans = [later["t"] - earlier["t"] for earlier, later in pairwise(env.accepted)]
        assert all(span > 1.5 - JITTER for span in spans), "the rate is kept"
