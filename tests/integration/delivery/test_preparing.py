"""Before a run: a CSV that changes while it is read, and two campaign files of one name, are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from campaign.config.definition import load_definition
from campaign.config.settings import parse_smtp_url
from campaign.delivery.preparing import clock_notice, prepare
from campaign.delivery.services import Services
from campaign.errors import CannotStartError, RecipientsError
from campaign.message.variants import CampaignMessages
from campaign.sendlog import Recovered, SendLog
from support.fake_clock import FakeClock
from support.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from campaign.delivery.observer import Plan
    from campaign.model import InvalidRow, Recipient


class Replacing(SendLog):
    """A send log during whose enlistment, after the first row, another program writes to the CSV."""

    csv: Path

    def enlist(self, rows: Callable[[], Iterator[Recipient | InvalidRow]], **how: Any) -> Any:  # type: ignore[override] # noqa: ANN401 - handed on
        """Enlist rows, and append one to the file meanwhile."""

        def changing() -> Iterator[Recipient | InvalidRow]:
            for number, row in enumerate(rows()):
                if number == 0:
                    text = self.csv.read_text(encoding="utf-8")
                    self.csv.write_text(f"{text}user_9,u9@d9.example,Late\n", encoding="utf-8")
                yield row

        return super().enlist(changing, **how)


def prepared(
    log: SendLog, work: Workspace, file: str = "campaign.toml", *, is_stopped: Callable[[], bool] | None = None
) -> Plan:
    """Prepare a run of a campaign file."""
    definition = load_definition(work.folder / file)
    services = Services(work.log, parse_smtp_url("smtp://127.0.0.1:9?tls=none"), "http://127.0.0.1:9", None, ())
    messages = CampaignMessages.load(definition)
    return prepare(
        log,
        definition,
        messages,
        services,
        recovered=Recovered(0, 0, 0),
        limit=None,
        stays_until=0.0,
        is_stopped=is_stopped,
    )


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """A campaign with three recipients."""
    return Workspace(tmp_path).write(3)


def test_a_csv_that_is_replaced_while_it_is_read_is_refused(work: Workspace) -> None:
    """If the file's bytes change during the reading nothing is enlisted, and the sentence says what to do."""
    log = Replacing(work.log, "trial", FakeClock())
    log.csv = work.folder / "people.csv"
    with pytest.raises(RecipientsError, match=r"people\.csv: the file changed while it was read.*rename it"):
        prepared(log, work)
    assert log.is_empty()
    log.close()
    after = SendLog(work.log, "trial", FakeClock())
    assert prepared(after, work).to_send == 4
    after.close()


def test_a_name_belongs_to_one_file(work: Workspace) -> None:
    """Another file with the name is refused; one that was moved, or whose rival was renamed, is not."""
    log = SendLog(work.log, "trial", FakeClock())
    prepared(log, work)
    text = work.file.read_text(encoding="utf-8")
    (work.folder / "other.toml").write_text(text, encoding="utf-8")
    with pytest.raises(CannotStartError, match=r"'trial' of another file, .*campaign\.toml.*other\.toml another name"):
        prepared(log, work, "other.toml")
    prepared(log, work)
    work.file.write_text(text.replace('name = "trial"', 'name = "renamed"'), encoding="utf-8")
    prepared(log, work, "other.toml")
    (work.folder / "other.toml").rename(work.folder / "moved.toml")
    prepared(log, work, "moved.toml")
    log.close()


def test_a_clock_behind_the_log_is_told_with_both_instants(work: Workspace) -> None:
    """A minute is within what clocks differ by; an hour is said, with the time of the log and that of the machine."""
    clock = FakeClock(1_750_000_000.0)
    log = SendLog(work.log, "trial", clock)
    assert clock_notice(log, clock) == ""
    prepared(log, work)
    assert log.skip_key("user_0", reason="by hand") == 1
    clock.set(1_750_000_000.0 - 59)
    assert clock_notice(log, clock) == ""
    clock.set(1_750_000_000.0 - 3600)
    notice = clock_notice(log, clock)
    assert "2025-06-15 15:06 UTC" in notice
    assert "2025-06-15 14:06 UTC" in notice
    log.close()


def test_a_reading_that_is_stopped_enlists_nothing(work: Workspace) -> None:
    """A watch that is to end does not wait for a large CSV, and the next one reads it from its beginning."""
    log = SendLog(work.log, "trial", FakeClock())
    with pytest.raises(RecipientsError, match="stopped"):
        prepared(log, work, is_stopped=lambda: True)
    assert log.is_empty()
    assert prepared(log, work, is_stopped=lambda: False).queued == 3
    log.close()
