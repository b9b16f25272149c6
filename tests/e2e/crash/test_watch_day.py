"""A day of three campaigns under one watch that is killed again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.crash.day import Day
from support.crash.day_campaigns import LATER_SUBJECT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.long
def test_a_day_of_three_campaigns_keeps_every_promise(tmp_path: Path) -> None:
    """Reminders, a promotion and a waitlist are sent through faults and kills: nobody twice, each user made once."""
    day = Day(tmp_path, say=print)
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
