"""Durations: valid ones are read and written alike, and everything else is refused."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.schedule.duration import duration_text, parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("30s", timedelta(seconds=30)),
        ("10m", timedelta(minutes=10)),
        ("48h", timedelta(hours=48)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        ("1 week 2 days", timedelta(days=9)),
        ("1h 30m", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        (" 250 ms ", timedelta(milliseconds=250)),
        ("10 minutes", timedelta(minutes=10)),
        ("1 day 1 second", timedelta(days=1, seconds=1)),
        ("0s", timedelta(0)),
    ],
)
def test_a_duration_is_read(text: str, duration: timedelta) -> None:
    """A duration is one or more numbers with units, which are added up."""
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", " ", "48", "h", "-1h", "1.5h", "48 hrs", "1h,", "1 weak", "1wd", "999999999d 24h", "1hour2", "٣h"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Text that is not a duration, or a duration that is too long, is refused with a message that quotes it."""
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_duration(text)


@given(st.timedeltas(timedelta(0), timedelta(days=99999)).map(lambda d: d - d % timedelta(milliseconds=1)))
def test_a_duration_is_written_as_it_is_read(duration: timedelta) -> None:
    """A duration that is written as text is read back as the same duration."""
    assert parse_duration(duration_text(duration)) == duration
