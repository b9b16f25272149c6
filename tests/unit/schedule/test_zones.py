"""Zones: local times become instants as an oracle does it that looks at every minute, and names are found."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.schedule.zones import find_zone, instant_of
from support import slow_clock


@given(
    number=st.integers(0, len(slow_clock.CHANGES) - 1),
    minutes=st.integers(-26 * 60, 26 * 60) | st.integers(-61, 61),
    seconds=st.sampled_from([0, 0, 1, 59]),
)
def test_a_local_time_is_the_instant_of_the_oracle(number: int, minutes: int, seconds: int) -> None:
    """A local time in a gap is the first instant after it; of one that there is twice, it is the first."""
    zone, change = slow_clock.change(number)
    wall = change.astimezone(zone).replace(tzinfo=None, fold=0) + timedelta(minutes=minutes)
    expected = slow_clock.instant_of(wall, zone).timestamp()
    exists = datetime.fromtimestamp(expected, zone).replace(tzinfo=None, fold=0) == wall
    assert instant_of(wall + timedelta(seconds=seconds), zone) == expected + (seconds if exists else 0)


@pytest.mark.parametrize(
    ("wall", "zone", "instant"),
    [
        ("2026-03-29T01:59:59", "Europe/Berlin", "2026-03-29T00:59:59Z"),
        ("2026-03-29T02:00", "Europe/Berlin", "2026-03-29T01:00Z"),
        ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:00Z"),
        ("2026-03-29T03:00", "Europe/Berlin", "2026-03-29T01:00Z"),
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30Z"),
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:30Z"),
        ("2026-04-05T01:45", "Australia/Lord_Howe", "2026-04-04T14:45Z"),
        ("2011-12-30T12:00", "Pacific/Apia", "2011-12-30T10:00Z"),
        ("1986-01-01T00:07", "Asia/Kathmandu", "1985-12-31T18:30Z"),
    ],
)
def test_a_time_at_a_change_of_the_clock(wall: str, zone: str, instant: str) -> None:
    """These local times, worked out by hand, are these instants."""
    found = instant_of(datetime.fromisoformat(wall), ZoneInfo(zone))
    assert found == datetime.fromisoformat(instant).timestamp()


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/Argentina/Buenos_Aires", "UTC", "Asia/Kathmandu"])
def test_a_zone_is_found(name: str) -> None:
    """An IANA name is a zone."""
    assert find_zone(name).key == name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/berlin", 'did you mean "Europe/Berlin"?'),
        ("Berlin", 'did you mean "Europe/Berlin"?'),
        ("Europe/Berln", 'did you mean "Europe/Berlin"?'),
        ("Euorpe/Berlin", 'did you mean "Europe/Berlin"?'),
        ("New York", 'did you mean "America/New_York"?'),
        ("+01:00", "write an IANA name"),
        ("", "write an IANA name"),
        ("Europe", "write an IANA name"),
        ("/etc/localtime", "write an IANA name"),
        ("../zoneinfo/UTC", "did you mean"),
        ("a\0b", "write an IANA name"),
        ("\ud800", "write an IANA name"),
        ("x" * 5000, "write an IANA name"),
    ],
)
def test_an_unknown_zone_is_told_with_what_was_meant(name: str, hint: str) -> None:
    """What is no zone is refused, with the zone that was probably meant, or what to write."""
    with pytest.raises(ValueError, match="is not a time zone") as refused:
        find_zone(name)
    assert hint in str(refused.value)
