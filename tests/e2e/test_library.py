"""The program as a library: the example of the README, errors, and a run in a thread."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import campaign
from support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

WAITLIST = "templates/waitlist-welcome/campaign.toml"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the repository ships, as the current folder, and nothing set."""
    for name in ("templates", "recipients"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("CAMPAIGN_", "CLERK_"))]:
        monkeypatch.delenv(name)
    return tmp_path


def test_the_example_of_the_readme_runs(clone: Path) -> None:
    """The README's Python example checks, runs and looks up a campaign."""
    (example,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", example], cwd=clone, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("14 sent\n14 recipients\n", "")


@pytest.mark.usefixtures("clone")
def test_a_run_in_a_thread_tells_its_observer_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A run needs no main thread; its observer hears each outcome, and `logging` the start and the end."""
    settled = []

    class Counting:
        def opened(self, services: object) -> None: ...

        def confirm(self, plan: object) -> bool:
            return plan is not None

        def settled(self, delivery: object, outcome: object) -> None:
            settled.append((delivery, outcome))

        def waiting(self, why: str, seconds: float) -> None: ...

        def notice(self, sentence: str) -> None: ...

        def stopping(self) -> None: ...

    results = []
    observer: campaign.Observer = Counting()
    thread = threading.Thread(
        target=lambda: results.append(asyncio.run(campaign.run(WAITLIST, observer=observer, sandbox=True, limit=3)))
    )
    with caplog.at_level(logging.DEBUG):
        thread.start()
        thread.join(60)
    assert results[0].summary[campaign.Status.SENT] == len(settled) == 3
    assert "ended: 11 queued, 3 sent" in caplog.text
    assert "@" not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("campaign"))
    assert "example.com" not in "".join(record.getMessage() for record in caplog.records if record.name == "httpx")


def test_an_error_is_one_of_the_program(clone: Path) -> None:
    """A wrong campaign file raises the error that the command line tells."""
    with pytest.raises(campaign.CampaignError, match="this campaign file does not exist"):
        campaign.check(clone / "nothing.toml")
    with pytest.raises(campaign.CampaignError, match="this campaign file does not exist"):
        asyncio.run(campaign.run(clone / "nothing.toml"))
