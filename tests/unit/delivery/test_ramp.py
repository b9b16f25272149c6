"""The ramp: each calendar day with mail allows more, in the campaign's zone, and no day gets more than its quota."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from campaign.delivery.ramp import Ramp
from campaign.errors import DeferredError
from campaign.model import Rate, Waiting
from support.fake_clock import FakeClock

BERLIN = ZoneInfo("Europe/Berlin")
QUOTAS = [Rate.parse(rate) for rate in ("2/day", "4/day", "8/day")]


def at(text: str) -> float:
    """Return an instant in Berlin, in seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def days_of(ramp: Ramp, clock: FakeClock, days: list[str]) -> list[int]:
    """Return how many messages go out on each day, at most 20."""
    counts = []
    for day in days:
        clock.set(at(f"{day}T12:00"))
        number = 0
        while not ramp.is_spent() and number < 20:
            ramp.sent()
            number += 1
        counts.append(number)
    return counts


def test_the_quota_grows_with_days_on_which_mail_was_sent() -> None:
    """Days without mail do not count, and the last quota stays."""
    clock = FakeClock(at("2026-03-02T12:00"))
    ramp = Ramp(QUOTAS, BERLIN, {}, clock)
    assert days_of(ramp, clock, ["2026-03-02", "2026-03-03", "2026-03-09", "2026-03-10"]) == [2, 4, 8, 8]


def test_what_earlier_runs_sent_today_counts() -> None:
    """A restart neither starts the day's quota again nor the ramp."""
    clock = FakeClock(at("2026-03-04T12:00"))
    sent = {date(2026, 3, 1): 2, date(2026, 3, 2): 4, date(2026, 3, 4): 7}
    ramp = Ramp(QUOTAS, BERLIN, sent, clock)
    assert ramp.quota == 8
    assert not ramp.is_spent()
    assert ramp.is_spent(ahead=1), "a delivery that is under way may still send"
    ramp.sent()
    with pytest.raises(DeferredError, match="8 messages") as caught:
        ramp.raise_if_spent()
    assert (caught.value.until, caught.value.waiting) == (at("2026-03-05T00:00"), Waiting.QUOTA)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-03-28T23:59:59", "2026-03-29T00:00"),
        ("2026-03-29T00:30", "2026-03-30T00:00"),
        ("2026-10-25T02:30", "2026-10-26T00:00"),
    ],
)
def test_a_day_ends_at_midnight_also_at_a_change_of_the_clocks(now: str, end: str) -> None:
    """The quota ends at the zone's midnight, after 23 or 25 hours if the clocks change that day."""
    assert Ramp(QUOTAS, BERLIN, {}, FakeClock(at(now))).ends_at == at(end)


def test_mail_of_the_future_counts_as_todays() -> None:
    """After a clock was set back, what the log has of later days uses up today's quota instead of none."""
    clock = FakeClock(at("2026-03-04T12:00"))
    ramp = Ramp(QUOTAS, BERLIN, {date(2026, 3, 6): 2}, clock)
    assert ramp.is_spent()


def test_a_message_counts_for_the_ramps_of_all_campaigns_beside() -> None:
    """Campaigns that are sent side by side share the day's count, also with one that has no ramp itself."""
    clock = FakeClock(at("2026-03-02T12:00"))
    beside: list[Ramp] = []
    ramped, free = (Ramp(quotas, BERLIN, {}, clock, beside=beside) for quotas in (QUOTAS, ()))
    beside += [ramped, free]
    free.sent()
    assert not ramped.is_spent()
    ramped.sent()
    assert ramped.is_spent()
    assert not free.is_spent(ahead=1000)
