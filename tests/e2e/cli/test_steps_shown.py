"""Steps, batches and waits of a campaign as `status`, `log`, `report` and `skip` show them."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import TYPE_CHECKING

import pytest

from campaign.model import Deferral, Outcome, Status, Waiting
from campaign.sendlog import QueueCursor
from support.fake_clock import FakeClock
from support.fork_server import ForkingWorkspace
from support.html_tree import tree
from support.sendlog_helpers import TWO_DAYS, opened, people, token

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.model import Delivery
    from campaign.sendlog import SendLog
    from support.html_tree import Node

START = 1_772_528_400.0  # 2026-03-03 09:00 UTC
LATER = 4_102_444_800.0  # 2100-01-01 00:00 UTC


@pytest.fixture
def past(tmp_path: Path) -> ForkingWorkspace:
    """Two batches of 3 of 8 people: the first got both steps, user_2 came back, and the second batch has begun."""
    workspace = ForkingWorkspace(tmp_path).write(3)
    workspace.environment["CAMPAIGN_LOG"] = str(workspace.log)
    clock = FakeClock(START)
    with opened(workspace.log, clock=clock) as log:
        log.enlist(lambda: people(8), source="a.csv", digest="1", steps=("first", "second"), in_batches=True)
        for _ in range(2):
            log.take_batch(3)
            asyncio.run(_run(log, clock))
            clock.jump(86_400)
    return workspace


async def _run(log: SendLog, clock: FakeClock) -> None:
    async with log:
        for row in await log.claim(100, QueueCursor()):
            clock.jump(1)
            if row.step == "second" and row.recipient.key == "user_2":
                await log.settle(row, Outcome(Status.SKIPPED, "link used", ends_sequence=True))
            elif row.recipient.key == "user_6":
                await log.put_off({row.id: Deferral(LATER, Waiting.WINDOW, "", due_at=START)})
            else:
                await _send(log, clock, row)


async def _send(log: SendLog, clock: FakeClock, row: Delivery) -> None:
    row = await log.issuing(row, user_id=row.recipient.user_id or "", expires_in=TWO_DAYS)
    clock.jump(0.1)
    await log.issued(row, token(row))
    clock.jump(0.1)
    await log.sending(row, message_id=f"<{row.id}@acme.example>", server="mail.example:587", with_token=True)
    clock.jump(0.2)
    await log.settle(row, Outcome(Status.SENT))


def test_status_shows_each_step_and_batch(past: ForkingWorkspace) -> None:
    """`status` has a line for each step and batch, and says what the queued mails wait for and until when."""
    shown = past.campaign("status", "campaign.toml").stdout
    assert "recipients       8" in shown
    assert "Step first: 3 queued, 5 sent.\nStep second: 5 queued, 2 sent, 1 skipped.\n" in shown
    assert "Batch 1 of 2026-03-03 09:00 UTC, 3 new: 3 sent.\n" in shown
    assert "Batch 2 of 2026-03-04 09:00 UTC, 3 new: 1 queued, 2 sent.\n" in shown
    hours = "for the hours and days at which they may be mailed"
    assert f"Waiting: 1 {hours}, 3 for the step before, 2 for a later batch. " in shown
    assert "The next is due on Fri 2100-01-01 at 00:00 UTC. To send what is due: campaign run campaign.toml." in shown
    status = past.status()
    assert (status["recipients"], status["queued"], status["sent"]) == (8, 8, 7)
    assert status["waiting"] == {"window": 1, "step": 3, "batch": 2}
    assert status["steps"] == {"first": {"queued": 3, "sent": 5}, "second": {"queued": 5, "sent": 2, "skipped": 1}}
    assert [(one["number"], one["size"]) for one in status["batches"]] == [(1, 3), (2, 3)]


def test_log_shows_what_a_mail_waits_for(past: ForkingWorkspace) -> None:
    """Each step is a line with its batch, its due time, and what it waits for, until when."""
    rows = {(row["key"], row["step"]): row for row in past.rows()}
    told = ("state", "batch", "due_at", "waiting", "not_before")
    assert [rows["user_6", "first"][name] for name in told] == [
        *("queued", 2, "2026-03-03T09:00:00.000+00:00"),
        *("window", "2100-01-01T00:00:00.000+00:00"),
    ]
    assert [rows["user_8", "first"][name] for name in told] == ["queued", None, None, "batch", None]
    assert [rows["user_1", "second"][name] for name in told] == ["sent", 1, None, None, None]
    assert rows["user_2", "second"]["reason"] == "link used"
    printed = past.campaign("log", "campaign.toml").stdout
    assert list(csv.DictReader(io.StringIO(printed)))[1]["step"] == "second"


def test_the_report_has_tables_of_steps_and_batches(past: ForkingWorkspace) -> None:
    """The report counts recipients once, and has a row for each step and each batch with its time."""
    answer = past.campaign("report", "campaign.toml", "--html", "report.html")
    assert (answer.returncode, answer.stderr) == (0, "")
    page = tree((past.folder / "report.html").read_text("utf-8"))
    assert page.one("p", "result").text == "5 of 8 recipients were mailed."
    steps = {row.one("th").text: numbers(row) for row in page.titled("Steps").one("tbody").all("tr")}
    assert steps == {"first": ["8", "5", "0", "0", "0", "0", "3"], "second": ["8", "2", "0", "0", "0", "1", "5"]}
    batches = {row.one("th").text: row for row in page.titled("Batches").one("tbody").all("tr")}
    assert {name: numbers(row) for name, row in batches.items()} == {
        "1": ["3", "3", "0", "0", "0", "0", "0"],
        "2": ["3", "2", "0", "0", "0", "0", "1"],
    }
    assert batches["1"].one("td", "time").text == "2026-03-03 09:00:00"


def numbers(row: Node) -> list[str]:
    """Return the numbers of a table's row."""
    return [cell.text for cell in row.all("td", "number")]


def test_skip_covers_every_step(past: ForkingWorkspace) -> None:
    """`skip --key` leaves no step of a key queued, and says so; what was sent stays sent."""
    done = past.campaign("skip", "campaign.toml", "--key", "user_4")
    assert (done.returncode, done.stdout) == (0, "user_4 is skipped and gets no mail of trial.\n")
    rows = {(row["key"], row["step"]): (row["state"], row["reason"]) for row in past.rows()}
    assert rows["user_4", "first"] == ("sent", "")
    assert rows["user_4", "second"] == ("skipped", "skipped by hand")
