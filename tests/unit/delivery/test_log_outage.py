"""What a run says when it lacks one of its sessions: `SessionOutage`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from campaign.delivery.log_outage import RATES_OUTAGE, SessionOutage
from support.fake_clock import FakeClock
from support.sendlog_helpers import opened

if TYPE_CHECKING:
    from pathlib import Path


def test_an_outage_of_the_rates_is_told_once_and_its_end_too(tmp_path: Path) -> None:
    """A moment without an answer is not told; a longer outage is told once, with its reason, and so is its end."""
    said: list[str] = []
    clock = FakeClock()
    with opened(tmp_path / "send-log.db") as log:
        log.share(lease=timedelta(minutes=1), say=said.append)
        outage = SessionOutage(log, clock, RATES_OUTAGE)
        for _ in range(2):
            for seconds in (0, 4):
                clock.set(clock.now() + seconds)
                outage.failed("too many connections")
            outage.ended()
        assert said == []
        for seconds in (0, 6, 60):
            clock.set(clock.now() + seconds)
            outage.failed("too many connections")
        outage.ended()
        outage.ended()
    assert said == [
        "Waiting for the rates that all runs share: too many connections",
        "The rates that all runs share answer again; the run goes on",
    ]
