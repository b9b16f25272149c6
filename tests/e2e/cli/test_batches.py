"""Batches, windows and quotas over days, in the sandbox's own time; and input that must not be trusted."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from support.environment import environment
from support.fork_server import ForkingWorkspace

if TYPE_CHECKING:
    from pathlib import Path

BERLIN = ZoneInfo("Europe/Berlin")
#: A Wednesday, long after the machine's present.
DAY = datetime(2040, 2, 29, tzinfo=UTC)


def people(first: int, last: int, **more: str) -> list[dict[str, str]]:
    """Return rows with numbered users."""
    return [
        {"user_id": f"user_{each}", "email": f"u{each}@shop.example", "first_name": f"Name {each}", **more}
        for each in range(first, last)
    ]


def rows(work: ForkingWorkspace) -> list[dict[str, Any]]:
    """Return the records of the sandbox's log."""
    done = work.campaign("log", "campaign.toml", "--sandbox", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def sent(work: ForkingWorkspace) -> list[tuple[str, datetime]]:
    """Return each sent row's key and instant, in the order in which they were sent."""
    found = [(row["key"], datetime.fromisoformat(row["updated_at"])) for row in rows(work) if row["state"] == "sent"]
    return sorted(found, key=lambda each: each[1])


@pytest.mark.long
def test_a_growing_list_is_mailed_in_batches_within_the_ramp(tmp_path: Path) -> None:
    """For thirty days, each morning's run takes the next recipients in the file's order, in the quota, and exits 0."""
    work = ForkingWorkspace(tmp_path).write(
        people(0, 6), recipients="batch = 4", more='[limits]\nramp = ["2/day", "3/day", "5/day"]\n'
    )
    outputs = []
    for day in range(30):
        work.write_people(people(0, 6 + 2 * day))
        at = (DAY + timedelta(days=day, hours=8)).isoformat()
        done = work.campaign("run", "campaign.toml", "--at", at, "--speed", "60", "--no-wait")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        outputs.append(done.stdout)
    mailed = sent(work)
    # within one run the connections may overtake each other
    in_order = sorted((when.date(), int(key.removeprefix("user_"))) for key, when in mailed)
    assert [number for _, number in in_order] == list(range(6 + 2 * 29))
    per_day = Counter((when - DAY).days for _, when in mailed)
    assert [per_day[day] for day in range(30)] == [2, 3, 5] + [2] * 27, "the list grows by two a day"
    ends = "the next message can go out on Thu 2040-03-01 at 00:00 UTC."
    assert f"The ramp's quota for today is used up (2 messages); {ends}" in outputs[0]
    assert "Waiting: 2 for a later batch, 2 for a quota. " in outputs[0]
    assert "Batch 1: 4 new recipients." in outputs[0]
    batches = {row["key"]: row["batch"] for row in rows(work)}
    assert [batches[f"user_{each}"] for each in range(4)] == [1] * 4


def test_the_limit_and_the_batch_are_the_same(tmp_path: Path) -> None:
    """`--limit` overrides `batch`; a batch by `order` takes the first ones by that column."""
    listed = [row | {"rank": str(50 - number)} for number, row in enumerate(people(0, 6))]
    work = ForkingWorkspace(tmp_path).write(listed, recipients='batch = 1\norder = "rank"')
    assert work.run().returncode == 0
    assert work.run("--limit", "2").returncode == 0
    assert [key for key, _ in sent(work)] == ["user_5", "user_4", "user_3"]


@pytest.mark.long
def test_nobody_is_mailed_at_night(tmp_path: Path) -> None:
    """A run of three days mails each recipient once, in their own hours, whatever their zone."""
    zones = ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "")
    listed = [
        row | {"zone": zones[number % 4], "left_at": (DAY + timedelta(hours=number)).isoformat()}
        for number, row in enumerate(people(0, 24))
    ]
    section = '[schedule]\ndue = "left_at + 1h"\nhours = "09:00-20:00"\nzone = "zone"\ndefault_zone = "Europe/Berlin"\n'
    steps = '[[steps]]\nname = "first"\n[[steps]]\nname = "second"\ndue = "first + 23h"\nsubject = "Still yours"\n'
    work = ForkingWorkspace(tmp_path).write(listed, more=section + steps)
    done = work.campaign("run", "campaign.toml", "--at", DAY.isoformat(), "--speed", "36000x", timeout=200)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    found = rows(work)
    assert Counter((row["step"], row["state"]) for row in found) == {("first", "sent"): 24, ("second", "sent"): 24}
    times: dict[tuple[int, str], datetime] = {}
    with closing(sqlite3.connect(tmp_path / ".campaign/send-log.db")) as log:
        for key, step, seconds in log.execute("SELECT key, step, sent_at FROM delivery"):
            times[int(key.removeprefix("user_")), step] = datetime.fromtimestamp(seconds, UTC)
    for (number, step), when in times.items():
        local = when.astimezone(ZoneInfo(zones[number % 4] or "Europe/Berlin"))
        assert 9 <= local.hour < 20, (number, step, local)
        assert when >= DAY + timedelta(hours=number + 1)
    for number in range(24):
        assert times[number, "second"] - times[number, "first"] >= timedelta(hours=23)


def test_a_run_with_nothing_due_asks_nobody(tmp_path: Path) -> None:
    """A run whose rows are due tomorrow opens no connection, says when the next is due, and exits 0."""
    section = '[schedule]\ndue = "left_at + 1d"\ndefault_zone = "UTC"\n'
    left = datetime.now(UTC).isoformat()
    with environment(tmp_path, people(0, 2, left_at=left), more=section) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        assert "nothing is due now; 2 emails will be later" in done.stdout
        assert re.search(r"Waiting: 2 for their due time\. The next is due on \w{3} \d{4}-", done.stdout)
        assert env.silent


def test_after_an_outage_nobody_gets_yesterdays_mail(tmp_path: Path) -> None:
    """Rows whose end passed while nothing ran are skipped as too late, and that is no fault: exit code 0."""
    section = '[schedule]\ndue = "left_at + 1h"\nuntil = "left_at + 1d"\ndefault_zone = "UTC"\n'
    left = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    with environment(tmp_path, people(0, 3, left_at=left), more=section) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        assert "3 times: too late" in done.stdout
        assert env.tokens == env.accepted == []


def test_a_clock_that_was_set_back_is_said(tmp_path: Path) -> None:
    """A log with entries of the future is named with both instants, and its limits count them as just now."""
    with environment(tmp_path, 6, more='[limits]\nmessages = ["100/second", "3/day"]\n') as env:
        env.work.run("--no-wait")
        assert len(env.accepted) == 3
        with closing(sqlite3.connect(env.work.log)) as log, log:
            guards = log.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _ in guards:
                log.execute(f"DROP TRIGGER {name}")
            log.execute("UPDATE history SET at = at + 172800, since = since + 172800")
            log.execute("UPDATE delivery SET updated_at = updated_at + 172800")
            for _, guard in guards:
                log.execute(guard)
        done = env.work.run("--no-wait")
        assert "it was set back, or was ahead before" in done.stdout
        assert len(env.accepted) == 3, "no burst"
