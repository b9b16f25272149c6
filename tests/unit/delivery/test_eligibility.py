"""Eligibility: a row goes out at its time, within its recipient's hours, and never too late."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from campaign.delivery.attempt import Attempt
from campaign.delivery.eligibility import Eligibility, StepRules, is_no_fault
from campaign.errors import DeferredError, PermanentError
from campaign.model import NEVER, Outcome, Status, Waiting
from campaign.schedule import Moment, Schedule, WeeklyWindow
from campaign.schedule.window import ALL_DAYS, ALL_HOURS, parse_days, parse_hours
from campaign.sendlog import QueueCursor
from support.fake_clock import FakeClock
from support.sendlog_helpers import bring, enlist, opened, person, table

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from campaign.model import Recipient
    from campaign.sendlog import SendLog

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    """Return an instant in Berlin, in seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def schedule(
    *,
    due: str | None = None,
    until: str | None = None,
    hours: str = "",
    days: str = "",
    earlier: Sequence[str] = (),
) -> Schedule:
    """Return a schedule in Berlin, or in the zone of the column `zone`."""
    window = WeeklyWindow(parse_hours(hours) if hours else ALL_HOURS, parse_days(days) if days else ALL_DAYS)
    return Schedule(
        due=Moment.parse(due) if due else None,
        until=Moment.parse(until) if until else None,
        window=window if hours or days else None,
        zone="zone",
        default_zone=BERLIN,
        earlier=earlier,
    )


def left(number: int, when: str = "", zone: str = "") -> Recipient:
    """Return a recipient who left a cart at a time."""
    return person(number)._replace(variables={"left_at": when, "zone": zone})


def judged(
    path: Path,
    rows: Sequence[Recipient],
    rules: Mapping[str, Schedule],
    now: str,
    work: Callable[[Eligibility, SendLog, FakeClock], Coroutine[Any, Any, None]],
) -> list[Outcome]:
    """Do some work with the gate of a campaign at a time in Berlin; return the outcomes of the rows that it skipped."""
    clock, skipped = FakeClock(at(now)), []
    with opened(path, clock=clock) as log:
        enlist(log, rows, steps=list(rules))

        async def run() -> None:
            async with log:
                gate = Eligibility(
                    log,
                    clock,
                    {name: StepRules(each, None, ()) for name, each in rules.items()},
                    come_back=None,
                    ramp=None,
                    on_skipped=lambda _, outcome: skipped.append(outcome),
                )
                await work(gate, log, clock)

        asyncio.run(run())
    return skipped


async def reviewed(gate: Eligibility, log: SendLog) -> list[str]:
    """Return the keys of the due rows that may be sent now."""
    return [delivery.recipient.key for delivery in await gate.review(await log.claim(100, QueueCursor()))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The send log."""
    return tmp_path / "send-log.db"


def test_a_row_waits_for_its_due_time(path: Path) -> None:
    """A row that is not due yet is put off to its instant, with its reason, and goes out then."""

    async def work(gate: Eligibility, log: SendLog, clock: FakeClock) -> None:
        assert await reviewed(gate, log) == ["user_1"]
        (row,) = table(path, "SELECT not_before, waiting, due_at, attempts FROM delivery WHERE key = 'user_2'")
        assert row["waiting"] == "due"
        assert row["due_at"] == at("2026-03-04T11:30")
        assert 0 <= row["not_before"] - row["due_at"] < 1e-3
        clock.set(at("2026-03-04T11:30") + 0.01)
        assert await reviewed(gate, log) == ["user_1", "user_2"]
        assert table(path, "SELECT * FROM history WHERE new_state <> 'queued'") == []

    rows = [left(1, "2026-03-04T08:00"), left(2, "2026-03-04T10:30")]
    assert judged(path, rows, {"": schedule(due="left_at + 1h")}, "2026-03-04T11:00", work) == []


def test_a_row_waits_for_its_recipients_hours(path: Path) -> None:
    """Each recipient is mailed in their own hours and on their days; who is put off keeps their order."""
    rows = [left(1), left(2, zone="America/New_York"), left(3), left(4, zone="Asia/Kathmandu")]

    async def work(gate: Eligibility, log: SendLog, clock: FakeClock) -> None:
        assert await reviewed(gate, log) == ["user_2"]
        waits = {row["key"]: row for row in table(path, "SELECT key, waiting, not_before FROM delivery ORDER BY id")}
        assert {key: row["waiting"] for key, row in waits.items() if key != "user_2"} == {
            "user_1": "window",
            "user_3": "window",
            "user_4": "window",
        }
        opens = at("2026-03-09T09:00")  # a Monday
        assert opens <= waits["user_1"]["not_before"] < waits["user_3"]["not_before"] < opens + 1e-3
        kathmandu = datetime(2026, 3, 9, 9, tzinfo=ZoneInfo("Asia/Kathmandu")).timestamp()
        assert waits["user_4"]["not_before"] == pytest.approx(kathmandu, abs=1e-3)
        clock.set(opens + 1)
        assert await reviewed(gate, log) == ["user_2", "user_4", "user_1", "user_3"][1:]

    # a Saturday evening in Berlin, the afternoon in New York
    judged(path, rows, {"": schedule(hours="09:00-20:00", days="Mon-Sat")}, "2026-03-07T21:00", work)


def test_who_is_too_late_gets_no_step_at_all(path: Path) -> None:
    """After `until` the row and its later steps are skipped, and the progress is told of the row once."""

    async def work(gate: Eligibility, log: SendLog, _: FakeClock) -> None:
        assert await reviewed(gate, log) == ["user_2"]
        rows = table(path, "SELECT key, step, state, reason FROM delivery WHERE key = 'user_1'")
        assert [(row["step"], row["state"], row["reason"]) for row in rows] == [
            ("first", "skipped", "too late"),
            ("second", "skipped", "too late"),
        ]

    rules = {
        "first": schedule(until="left_at + 1d"),
        "second": schedule(due="first + 1h", until="left_at + 1d", earlier=("first",)),
    }
    rows = [left(1, "2026-03-01T12:00"), left(2, "2026-03-04T10:30")]
    outcomes = judged(path, rows, rules, "2026-03-04T11:00", work)
    assert outcomes == [Outcome(Status.SKIPPED, "too late")]


@pytest.mark.parametrize("state", [Status.SENT, Status.FAILED, Status.UNCERTAIN])
def test_a_step_goes_out_only_where_the_one_before_was_sent(path: Path, state: Status) -> None:
    """The second step counts from the first as it was sent; after a failed or uncertain one it waits."""
    rules = {"first": schedule(), "second": schedule(due="first + 23h", earlier=("first",))}

    async def work(gate: Eligibility, log: SendLog, clock: FakeClock) -> None:
        (first,) = await log.claim(10, QueueCursor())
        await bring(log, first, state)
        sent_at = clock.now()
        clock.jump(3600)
        assert await reviewed(gate, log) == []
        (row,) = table(path, "SELECT waiting, not_before FROM delivery WHERE step = 'second'")
        if state is Status.SENT:
            assert row["waiting"] == "due"
            assert row["not_before"] == pytest.approx(sent_at + 23 * 3600, abs=1e-3)
            clock.jump(22 * 3600 + 1)
            assert await reviewed(gate, log) == ["user_1"]
        else:
            assert (row["waiting"], row["not_before"]) == ("step", NEVER)

    judged(path, [left(1)], rules, "2026-03-28T12:00", work)  # the clocks change in that night


def test_the_time_is_judged_again_before_the_token_and_before_the_dot(path: Path) -> None:
    """A window that closes, or an end that passes, while a row is under way stops it."""
    rules = {"": schedule(hours="09:00-20:00", until="left_at + 1d")}

    async def work(gate: Eligibility, log: SendLog, clock: FakeClock) -> None:
        first, second = await gate.review(await log.claim(10, QueueCursor()))
        attempt = Attempt(first)
        await gate.require(attempt)
        gate.raise_if_not_now(attempt)
        clock.set(at("2026-03-04T20:00:01"))
        with pytest.raises(DeferredError, match="2026-03-05 08:00 UTC") as caught:
            gate.raise_if_not_now(attempt)
        assert caught.value.waiting is Waiting.WINDOW
        clock.set(at("2026-03-05T19:00"))
        with pytest.raises(PermanentError, match="too late") as late:
            await gate.require(Attempt(second))
        assert (late.value.skip, late.value.ends_sequence) == (True, True)

    rows = [left(1, "2026-03-04T18:00"), left(2, "2026-03-04T18:00")]
    judged(path, rows, rules, "2026-03-04T19:59:30", work)


def test_a_cell_that_cannot_be_read_costs_its_row_only(path: Path) -> None:
    """A row whose time or zone cannot be read is skipped with its line and column; the others go on."""

    async def work(gate: Eligibility, log: SendLog, _: FakeClock) -> None:
        assert await reviewed(gate, log) == ["user_2"]

    rows = [left(1, "tomorrow"), left(2, "2026-03-04T10:00")]
    (outcome,) = judged(path, rows, {"": schedule(due="left_at")}, "2026-03-04T11:00", work)
    assert "left_at" in outcome.reason
    assert not is_no_fault(outcome.reason)


def test_who_asked_for_a_new_link_does_not_wait(path: Path) -> None:
    """A mail that its reader asked for goes out at night and after the end; another one does not."""
    rules = {"": schedule(due="left_at + 1h", until="left_at + 2h", hours="09:00-20:00")}

    async def work(gate: Eligibility, log: SendLog, _: FakeClock) -> None:
        (row,) = await log.claim(10, QueueCursor())
        asked = row._replace(replaced_token="sit_1")
        assert await gate.review([asked]) == [asked]
        attempt = Attempt(asked)
        await gate.require(attempt)
        gate.raise_if_not_now(attempt)
        with pytest.raises(PermanentError, match="too late"):
            await gate.require(Attempt(row))

    judged(path, [left(1, "2026-03-01T09:00")], rules, "2026-03-04T03:00", work)
