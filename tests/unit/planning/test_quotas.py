"""The quotas of a plan: a ramp by days with mail, a share for each address, one batch a day."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from campaign.model import Rate
from campaign.planning.quotas import DailyRamp, RecipientCap, run_of

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    """Return the instant of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def rates(*texts: str) -> list[Rate]:
    return [Rate.parse(text) for text in texts]


def test_each_day_with_mail_allows_more() -> None:
    """The n-th day on which mail is sent has the n-th quota, and the last quota stays."""
    ramp = DailyRamp(rates("1/day", "2/day"), BERLIN)
    sent = []
    moment = at("2026-12-01T22:00")
    for _ in range(6):
        moment = ramp.next_at(moment)
        ramp.take(moment)
        sent.append(datetime.fromtimestamp(moment, BERLIN).isoformat(" ", "minutes"))
    midnights = ["2026-12-02", "2026-12-02", "2026-12-03", "2026-12-03", "2026-12-04"]
    assert sent == ["2026-12-01 22:00+01:00", *(f"{day} 00:00+01:00" for day in midnights)]


def test_a_day_without_mail_is_no_step_of_the_ramp() -> None:
    """Days on which nothing was sent do not raise the quota."""
    ramp = DailyRamp(rates("1/day", "2/day"), BERLIN)
    for day in ("01", "02", "03"):
        noon = at(f"2026-12-{day}T12:00")
        assert ramp.next_at(noon) == noon
    ramp.take(at("2026-12-03T12:00"))
    assert ramp.next_at(at("2026-12-03T13:00")) == at("2026-12-04T00:00")


def test_what_was_sent_before_the_plan_counts() -> None:
    """Earlier days with mail, and today's messages, are spent already."""
    ramp = DailyRamp(rates("1/day", "5/day"), BERLIN, days=1, spent=4)
    noon = at("2026-12-01T12:00")
    assert ramp.next_at(noon) == noon
    ramp.take(noon)
    assert ramp.next_at(noon) == at("2026-12-02T00:00")


def test_an_address_gets_its_share() -> None:
    """After two mails a week the third comes a week after the first; other addresses do not wait."""
    cap = RecipientCap(Rate.parse("2/week"))
    for moment in (0.0, 3600.0):
        assert cap.next_at("a@example.com", moment) == moment
        cap.take("a@example.com", moment)
    assert cap.next_at("a@example.com", 7200.0) == 7 * 86_400
    assert cap.next_at("b@example.com", 7200.0) == 7200.0


@pytest.mark.parametrize(("batch", "day"), [(0, "2026-03-28"), (1, "2026-03-29"), (3, "2026-03-31")])
def test_a_run_comes_at_the_same_time_of_each_day(batch: int, day: str) -> None:
    """The daily run keeps its time on the wall across the change to summer time."""
    assert run_of(batch, at("2026-03-28T09:14"), BERLIN) == at(f"{day}T09:14")
    assert run_of(batch, 86_400.0, ZoneInfo("UTC")) == datetime(1970, 1, 2 + batch, tzinfo=UTC).timestamp()
