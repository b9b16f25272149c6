"""A watch whose log is shared knows whether what it has read is what was read last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from campaign.sendlog import QueueContent, QueueState
from campaign.watching.events import CampaignEvents
from campaign.watching.health import Health
from campaign.watching.metrics import Metrics
from campaign.watching.other_versions import PATIENCE_S, OtherVersions
from campaign.watching.version import CampaignVersion
from support.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

MINE, THEIRS = QueueContent("mine", '[""]'), QueueContent("theirs", '[""]')


@dataclass
class Log:
    """What a watch knows of its own reading."""

    enlistment: int = 4
    content: QueueContent | None = MINE


@dataclass
class Reader:
    """A watched campaign."""

    version: CampaignVersion
    log: Any


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """Return a campaign that has made the fourth enlistment."""
    version = CampaignVersion.load(Workspace(tmp_path).write(1).file, settings=None)  # type: ignore[arg-type]
    return Reader(version, Log())


@pytest.mark.parametrize(
    ("state", "is_alone", "must_read"),
    [
        (QueueState(4, MINE, None), True, False),
        (QueueState(3, THEIRS, None), True, False),  # what was looked at before the last reading ended
        (QueueState(5, MINE, None), False, True),
        (QueueState(5, THEIRS, None), False, False),
        (QueueState(5, THEIRS, None), True, True),
    ],
)
def test_the_last_version_has_the_rows(reader: Reader, state: QueueState, *, is_alone: bool, must_read: bool) -> None:
    """It reads again if the last version is its own, or if no run with the last one is left; otherwise both would."""
    health = Health(lambda: 0.0)
    others = OtherVersions(CampaignEvents("trial", Metrics(), health))
    assert others.must_read(reader, state, 100.0, is_alone=is_alone) is must_read
    assert health.report().is_ok, "a change is on its way to all machines"


def test_a_version_that_stays_another_one_is_said(reader: Reader) -> None:
    """After a minute the watch is unwell and says what to do, until the versions are the same again."""
    health = Health(lambda: 0.0)
    others = OtherVersions(CampaignEvents("trial", Metrics(), health))
    for seconds in (0.0, PATIENCE_S - 1.0):
        others.must_read(reader, QueueState(5, THEIRS, None), 100.0 + seconds, is_alone=False)
    assert health.report().is_ok
    others.must_read(reader, QueueState(5, THEIRS, None), 100.0 + PATIENCE_S, is_alone=False)
    assert "make the files the same on all machines" in health.report().campaigns["trial"]
    reader.log.enlistment = 6
    others.must_read(reader, QueueState(6, MINE, None), 200.0, is_alone=False)
    assert health.report().is_ok
