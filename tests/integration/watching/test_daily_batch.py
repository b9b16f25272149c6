"""Under a watch `batch` is that of a day, however often the watch is started."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from campaign.config.definition import load_definition
from campaign.model import NEVER
from campaign.sendlog import SendLog
from campaign.watching.daily_batch import DailyBatch
from support.fake_clock import FakeClock
from support.sendlog_helpers import people
from support.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.config.definition import Definition

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    """Return an instant in Berlin, in seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def definition_in(folder: Path, *, recipients: str) -> Definition:
    """Return a campaign whose days are those of Berlin."""
    schedule = '[schedule]\ndefault_zone = "Europe/Berlin"\n'
    return load_definition(Workspace(folder).write(1, recipients=recipients, more=schedule).file)


def test_a_day_has_one_batch_also_after_a_restart(tmp_path: Path) -> None:
    """The next batch comes with the campaign's own midnight, and a second watch on the same day takes none."""
    definition, clock = definition_in(tmp_path, recipients="batch = 3"), FakeClock(at("2026-03-02T23:30"))
    log = SendLog(tmp_path / "send-log.db", "trial", clock)
    log.enlist(lambda: people(7), source="people.csv", digest="1", in_batches=True)
    batch = DailyBatch()
    taken: list[tuple[str, tuple[int, int] | None]] = []
    for moment in ("2026-03-02T23:30", "2026-03-02T23:50", "2026-03-03T00:10", "2026-03-03T12:00", "2026-03-05T08:00"):
        clock.set(at(moment))
        if moment.endswith("12:00"):
            batch = DailyBatch()
            batch.enlisted()
        if batch.is_due(clock.now()) or not taken:
            found = batch.take(log, definition, now=clock.now())
            taken.append((moment, (found.number, found.size) if found else None))
    log.close()
    assert taken == [
        ("2026-03-02T23:30", (1, 3)),
        ("2026-03-03T00:10", (2, 3)),
        ("2026-03-03T12:00", None),
        ("2026-03-05T08:00", (3, 1)),
    ]
    assert batch.next_at == at("2026-03-06T00:00")


@pytest.mark.parametrize("recipients", ["", 'order = "first_name"'])
def test_without_batches_everybody_is_taken_at_once(tmp_path: Path, recipients: str) -> None:
    """Each new row of a campaign without `batch` is taken up when it was enlisted, and nothing is due by the clock."""
    definition, clock = definition_in(tmp_path, recipients=recipients), FakeClock()
    log = SendLog(tmp_path / "send-log.db", "trial", clock)
    log.enlist(lambda: people(7), source="people.csv", digest="1")
    batch = DailyBatch()
    assert not batch.is_due(clock.now())
    batch.enlisted()
    assert batch.is_due(clock.now())
    assert batch.take(log, definition, now=clock.now()) is None
    assert (batch.is_due(clock.now()), batch.next_at) == (False, NEVER)
    log.close()
