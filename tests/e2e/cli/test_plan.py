"""`campaign plan`: who would be mailed when, on the command line."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from support.fork_server import ForkingWorkspace

if TYPE_CHECKING:
    from pathlib import Path

BERLIN = ZoneInfo("Europe/Berlin")
WINDOW = '[schedule]\nhours = "09:00-20:00"\ndefault_zone = "Europe/Berlin"\n'
STEPS = (
    '[[steps]]\nname = "first"\n[[steps]]\nname = "second"\ndue = "first + 23h"\nsubject = "Still yours, {{ name }}"\n'
)


@pytest.fixture
def work(tmp_path: Path) -> ForkingWorkspace:
    """A folder without settings."""
    return ForkingWorkspace(tmp_path)


def planned(work: ForkingWorkspace, *options: str) -> dict[str, Any]:
    """Return the plan as an object."""
    done = work.campaign("plan", str(work.file), "--json", *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def write(work: ForkingWorkspace, number: int, *, recipients: str = "", limits: str = "", more: str = "") -> None:
    """Write a campaign without a link."""
    if number:
        work.write_people(number)
    (work.folder / "email.html").write_text("<p>Hello</p>", "utf-8")
    work.file.write_text(
        f'name = "trial"\n[recipients]\nfile = "people.csv"\n{recipients}\n'
        '[email]\nfrom = "Acme <hello@acme.example>"\nsubject = "Hello"\nhtml = "email.html"\n'
        f"[limits]\n{limits}\n{more}",
        "utf-8",
    )


def test_the_table_says_who_is_mailed_when(work: ForkingWorkspace) -> None:
    """A budget spreads the messages over hours; the table, the last hour, the assumptions and the limits are said."""
    write(work, 25, limits='messages = "10/hour"')
    done = work.campaign("plan", str(work.file))
    assert done.returncode == 0, done.stderr
    assert "trial: at most 25 emails to the 25 recipients of people.csv, from " in done.stdout
    assert "The last email goes out on " in done.stdout
    assert "(line 26)." in done.stdout
    assert "Limits: 10/hour for messages." in done.stdout
    assert "Nobody was asked and nothing was changed or sent." in done.stdout
    header, *table = [line.split() for line in done.stdout.splitlines()[1:] if not line.startswith(("The", "N", "L"))]
    assert header == ["day", "hours", "an", "hour", "so", "far"]
    assert [row[-2:] for row in table][-1] == ["5", "25"]


def test_a_plan_makes_nothing(work: ForkingWorkspace) -> None:
    """No send log, no sandbox and no other file comes from a plan."""
    write(work, 3)
    before = sorted(path.name for path in work.folder.iterdir())
    assert work.campaign("plan", str(work.file)).returncode == 0
    assert sorted(path.name for path in work.folder.iterdir()) == before


@pytest.mark.long
def test_a_run_does_what_the_plan_says(work: ForkingWorkspace) -> None:
    """A simulated run sends as many messages in each hour as the plan has."""
    write(work, 25, limits='messages = "10/hour"')
    plan = planned(work)
    start = datetime.fromisoformat(plan["start"])
    hours = Counter({datetime.fromisoformat(hour["at"]): hour["messages"] for hour in plan["hours"]})
    run = work.campaign("run", str(work.file), "--sandbox", "--at", plan["start"], "--speed", "900x")
    assert run.returncode == 0, run.stderr
    rows = [json.loads(line) for line in work.campaign("log", str(work.file), "--format", "jsonl").stdout.splitlines()]
    sent = [datetime.fromisoformat(row["updated_at"]) for row in rows]
    assert [Counter((at - start) // timedelta(hours=1) for at in sent)[hour] for hour in range(3)] == [10, 10, 5]
    assert list(hours.values()) == [10, 10, 5]


def test_what_is_sent_already_is_left_out(work: ForkingWorkspace) -> None:
    """After a run of a batch the plan has the others alone, and says how many were sent."""
    write(work, 5)
    assert work.campaign("run", str(work.file), "--limit", "2").returncode == 0
    plan = planned(work)
    assert plan["messages"] == 3
    assert plan["left_out"] == {"sent already": 2}
    assert "Not planned: 2 sent already." in work.campaign("plan", str(work.file)).stdout


def test_batches_ramp_steps_and_hours_fit_together(work: ForkingWorkspace) -> None:
    """One batch a day, the ramp's days and the hours are kept, and the second step follows a day later."""
    write(work, 30, recipients="batch = 10", limits='ramp = ["5/day", "50/day"]', more=WINDOW + STEPS)
    plan = planned(work)
    assert plan["messages"] == 60
    days: Counter[tuple[str, str]] = Counter()
    for hour in plan["hours"]:
        at = datetime.fromisoformat(hour["at"]).astimezone(BERLIN)
        assert 9 <= at.hour < 20
        for step, number in hour["steps"].items():
            days[at.date().isoformat(), step] += number
    found = sorted({day for day, _ in days})
    assert days[found[0], "first"] == 5
    assert days[found[1], "first"] == 15
    assert days[found[1], "second"] == 5
    assert "One run a day, at " in " ".join(plan["assumptions"])
    assert "At most: every step before is taken as sent, and nobody as having come back." in plan["assumptions"]
    shown = work.campaign("plan", str(work.file)).stdout
    assert "first" in shown
    assert "second" in shown


def test_what_would_be_too_late_is_a_warning(work: ForkingWorkspace) -> None:
    """Rows that the limits keep beyond their end are counted with the first line and what to change."""
    until = (datetime.now(UTC) + timedelta(hours=1, minutes=30)).isoformat(timespec="seconds")
    write(work, 25, limits='messages = "10/hour"', more=f'[schedule]\nuntil = "{until}"\n')
    plan = planned(work)
    assert plan["messages"] == 20
    assert plan["too_late"] == {"messages": 5, "first_line": 22}
    assert "5 emails would be too late before their turn and not be sent, the first for line 22" in plan["warnings"][0]


def test_days_cut_the_table_and_not_the_plan(work: ForkingWorkspace) -> None:
    """`--days` shows fewer hours, and says how many messages come later and when the last goes out."""
    write(work, 30, limits='messages = "10/day"')
    plan = planned(work, "--days", "1")
    assert (plan["messages"], plan["later"], len(plan["hours"])) == (30, 20, 1)
    shown = work.campaign("plan", str(work.file), "--days", "1").stdout
    assert "20 more go out later" in shown
    last = datetime.fromisoformat(plan["last_at"])
    assert f"{last.day} {last:%b %Y} in the hour from {last:%H}:00" in shown


def test_the_page_stands_alone_and_is_written_again(work: ForkingWorkspace) -> None:
    """The page has no address and loads nothing; a newer plan replaces it, and another file is left as it is."""
    write(work, 5, more=WINDOW + STEPS)
    page = work.folder / "plan.html"
    for _ in range(2):
        done = work.campaign("plan", str(work.file), "--html", str(page))
        assert done.returncode == 0, done.stderr
    text = page.read_text("utf-8")
    assert "At most 10 emails to 5 recipients." in text
    assert "<svg" in text
    assert "@example" not in text
    assert "http" not in text.replace("http-equiv", "")
    other = work.folder / "mine.html"
    other.write_text("mine", "utf-8")
    refused = work.campaign("plan", str(work.file), "--html", str(other))
    assert refused.returncode == 2
    assert other.read_text("utf-8") == "mine"


def test_a_wrong_time_is_told_with_its_line(work: ForkingWorkspace) -> None:
    """A row whose due time cannot be read is told with file, line and column, and the others are planned."""
    write(work, 0, more='[schedule]\ndue = "left_at + 1h"\n')
    people = "user_id,email,left_at\nuser_1,a@example.com,2036-01-01T10:00Z\nuser_2,b@example.com,soon\n"
    (work.folder / "people.csv").write_text(people, "utf-8")
    plan = planned(work)
    assert plan["messages"] == 1
    assert plan["hours"][0]["at"].startswith("2036-01-01T11:00")
    assert plan["invalid"] == {"rows": 1, "first_line": 3}
    assert "people.csv:3: The cell left_at: 'soon' is not a time in ISO 8601" in plan["warnings"][0]
