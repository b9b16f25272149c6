"""A day of three campaigns under a watch that is killed again and again, or under two that share their log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.crash.day import Day
from support.crash.day_campaigns import LATER_SUBJECT

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.postgres import Postgres


pytestmark = pytest.mark.long


def test_a_day_of_three_campaigns_keeps_every_promise(tmp_path: Path) -> None:
    """Reminders, a promotion and a waitlist are sent through faults and kills: nobody twice, each user made once."""
    require_all(Day(tmp_path, say=print))


def test_two_watches_keep_every_promise_for_a_day(tmp_path: Path, postgres_server: Postgres) -> None:
    """The same for two watches on one log in PostgreSQL, each of which is killed while the other goes on."""
    url = postgres_server.fresh()
    require_all(Day(tmp_path, say=print, url=url, watches=2))
    postgres_server.drop(url)


def require_all(day: Day) -> None:
    """Play a day, and require that all that is promised of it holds, and that enough was sent."""
    verdicts = day.play()
    for name, verdict in verdicts.items():
        assert verdict.holds, f"{name}\n{verdict.table()}"
    assert day.too_early() == []
    assert day.later_subjects() == {LATER_SUBJECT}, "the broken campaign file was refused, the good one was used"
    assert day.killed >= 4
    left = day.unfinished()
    assert (left["promotion"], left["waitlist"]) == ([], [])
    assert {row["step"] for row in left["cart"]} <= {"second"}
    made = next(one for one in verdicts["waitlist"].judgements if one.name == "I20")
    assert made.checked > day.joining, "users were made"
    sent = {name: verdict.states["sent"] for name, verdict in verdicts.items()}
    assert sent["cart"] > day.carts, "some second reminders, too"
    assert sent["promotion"] > 0.7 * day.customers
    assert sent["waitlist"] > 0.6 * day.joining
