"""The times of a sample, moved to the present."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.samples.fresh_times import fresh

MADE = datetime(2026, 5, 16, 9, 45, tzinfo=UTC)
LATER = st.timedeltas(timedelta(), timedelta(days=5000))


@pytest.mark.parametrize(
    ("written", "now", "moved"),
    [
        ("2026-05-14T17:12", datetime(2026, 5, 16, 9, 45, tzinfo=UTC), "2026-05-14T17:12"),
        ("2026-05-14T17:12", datetime(2026, 5, 17, 10, 0, 59, tzinfo=UTC), "2026-05-15T17:27"),
        ("a,2026-05-16T23:59,b", datetime(2028, 2, 28, 9, 45, tzinfo=UTC), "a,2028-02-28T23:59,b"),
        ("2026-05-24T23:59", datetime(2026, 5, 17, 10, 0, tzinfo=UTC), "2026-05-26T23:59"),
        ("Sunday 17 May", datetime(2026, 5, 17, 10, 0, tzinfo=UTC), "Tuesday 19 May"),
        ("on 3 March", datetime(2027, 5, 16, 9, 45, tzinfo=UTC), "on 3 March"),
        ("3 March", datetime(2026, 5, 16, 9, 46, tzinfo=UTC), "4 March"),
    ],
)
def test_times_move_to_the_present(written: str, now: datetime, moved: str) -> None:
    """What had happened is as long ago as it was; ends and days without a time move by whole days."""
    assert fresh(written, made=MADE, now=now) == moved


@pytest.mark.parametrize(
    "text", ['C-48213,"Oiled, 38 cm",1,46.00', "12026-05-14T17:12", "2026-05-14", "3 Marching bands", "May 3", "0.9 l"]
)
def test_what_is_no_time_stays(text: str) -> None:
    """Numbers, names and other dates stay as they are written."""
    assert fresh(text, made=MADE, now=MADE + timedelta(days=400, hours=3)) == text


@given(LATER, st.integers(0, 3000))
def test_the_past_keeps_its_distance_and_an_end_its_time(passed: timedelta, minutes: int) -> None:
    """At any later moment a past time is as far away as it was, to the minute, and an end no nearer and as late."""
    now, past, end = MADE + passed, MADE - timedelta(minutes=minutes), MADE + timedelta(days=1, minutes=minutes)
    text = ",".join(time.replace(tzinfo=None).isoformat(timespec="minutes") for time in (past, end))
    moved = fresh(text, made=MADE, now=now).split(",")
    then, later = (datetime.fromisoformat(cell).replace(tzinfo=UTC) for cell in moved)
    assert timedelta() <= (now - then) - (MADE - past) < timedelta(minutes=1)
    assert timedelta() <= (later - now) - (end - MADE) < timedelta(days=1)
    assert later.time() == end.time()
