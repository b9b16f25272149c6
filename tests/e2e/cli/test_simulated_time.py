"""`campaign run --sandbox --at TIME --speed Nx`: a campaign of days played in seconds."""

from __future__ import annotations

import email
import email.policy
import json
import re
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from e2e.cli.test_inbox import serving
from support import ROOT
from support.fork_server import ForkingWorkspace
from support.plain_http import NO_TLS
from support.workspace import SECRET_KEY

if TYPE_CHECKING:
    from pathlib import Path

WAITLIST = "templates/waitlist-welcome/campaign.toml"
FATES = ("--recipients", "recipients/fates.csv")
BEGIN = datetime(2036, 12, 24, 8, 0, tzinfo=UTC)
AT = "2036-12-24T09:00+01:00"


@pytest.fixture
def work(tmp_path: Path) -> ForkingWorkspace:
    """A copy of the repository's campaigns, with no settings."""
    for name in ("templates", "recipients"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return ForkingWorkspace(tmp_path)


def rows(work: ForkingWorkspace) -> list[dict[str, Any]]:
    """Return the send log's records."""
    done = work.campaign("log", WAITLIST, "--format", "jsonl")
    return [json.loads(line) for line in done.stdout.splitlines()]


def dates(work: ForkingWorkspace) -> list[datetime]:
    """Return the Date headers of the sandbox's mail."""
    found = [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)["Date"]
        for path in (work.folder / ".campaign/mail/new").iterdir()
    ]
    return sorted(parsedate_to_datetime(str(date)) for date in found)


def test_a_run_plays_at_another_time(work: ForkingWorkspace) -> None:
    """Date headers, the send log and Clerk's tokens are in the simulated time; a deferred row comes back in it."""
    done = work.campaign("run", WAITLIST, *FATES, "--at", AT, "--speed", "3600x")
    assert "2036-12-24" in done.stdout
    assert "3,600 times as fast" in done.stdout
    assert all(BEGIN <= date < BEGIN + timedelta(hours=12) for date in dates(work))
    log = rows(work)
    deferred = next(row for row in log if "+defer2" in row["email"])
    assert (deferred["state"], deferred["attempts"]) == ("sent", 3)
    assert all(row["updated_at"].startswith("2036-12-24T") for row in log)
    with closing(sqlite3.connect(work.folder / ".campaign/sandbox.db")) as state:
        created, expires = state.execute("SELECT created_at, expires_at FROM sign_in_tokens").fetchone()
    assert BEGIN <= datetime.fromtimestamp(created / 1000, UTC) < BEGIN + timedelta(hours=12)
    assert expires - created == 48 * 3_600_000


@pytest.mark.long
def test_the_sandbox_goes_on_where_the_last_run_ended(work: ForkingWorkspace) -> None:
    """A later run and the inbox begin at the latest instant and say so; the inbox shows when each mail came."""
    assert work.campaign("run", WAITLIST, "--at", AT, "--limit", "8").returncode == 0
    last = max(datetime.fromisoformat(row["updated_at"]) for row in rows(work) if row["state"] == "sent")
    again = work.campaign("run", WAITLIST)
    assert again.returncode == 0, again.stderr
    assert "where an earlier run ended" in again.stdout
    assert len(dates(work)) == 14
    assert all(last <= date + timedelta(seconds=1) < last + timedelta(minutes=1) for date in dates(work)[-6:])
    with serving(work, "sandbox", "--port", "0", "--smtp-port", "0", until="Inbox:") as (said, _):
        assert "It is 2036-12-24" in said
        inbox = re.search(r"Inbox: (\S+)", said)
        assert inbox is not None
        page = httpx.get(f"{inbox[1]}/__inbox/", verify=NO_TLS).text
    stamps = re.findall(r'<time datetime="([^"]+)">([^<]+)</time>', page)
    assert len(stamps) == 14
    assert all(datetime.fromisoformat(stamp) - BEGIN < timedelta(minutes=1) for stamp, _ in stamps)
    assert all(re.fullmatch(r"\d\d:\d\d", shown) for _, shown in stamps), "today, as the sandbox has it"


@pytest.mark.long
def test_the_past_of_a_sandbox_is_refused_and_fresh_goes_there(work: ForkingWorkspace) -> None:
    """`--at` before the latest instant is refused with the way out; `--fresh` deletes what is later."""
    assert work.campaign("run", WAITLIST, "--at", AT).returncode == 0
    refused = work.campaign("run", WAITLIST, "--at", "2036-12-01T09:00Z")
    assert refused.returncode == 2
    assert "--at is before what has happened in the sandbox, which is at 2036-12-24" in refused.stderr
    assert "--fresh" in refused.stderr
    assert len(dates(work)) == 14
    fresh = work.campaign("run", WAITLIST, "--at", "2036-12-01T09:00Z", "--fresh")
    assert fresh.returncode == 0, fresh.stderr
    assert "14 mails" in fresh.stdout
    assert {date.date().isoformat() for date in dates(work)} == {"2036-12-01"}
    present = work.campaign("run", WAITLIST, "--fresh")
    assert present.returncode == 0, present.stderr
    assert "In the sandbox it is" not in present.stdout
    assert all(abs(date - datetime.now(UTC)) < timedelta(minutes=5) for date in dates(work))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--at", "tomorrow"), "--at: 'tomorrow' is not a time in ISO 8601; write one like 2026-12-24T09:00+01:00"),
        (("--at", "0001-01-01"), "--at: '0001-01-01' is out of range"),
        (("--speed", "fast"), "--speed: 'fast' is not a number from 1 to 86400; write one like 3600x."),
        (("--speed", "0x"), "--speed: '0x' is not a number from 1 to 86400"),
        (("--speed", "1e9x"), "--speed: '1e9x' is not a number from 1 to 86400"),
        (("--speed", "90000"), "--speed: '90000' is not a number from 1 to 86400"),
    ],
)
def test_what_cannot_be_read_is_refused(work: ForkingWorkspace, options: tuple[str, ...], sentence: str) -> None:
    """A time or a speed that cannot be read is a sentence and exit code 2, and nothing is made."""
    done = work.campaign("run", WAITLIST, *options)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (work.folder / ".campaign").exists()


@pytest.mark.parametrize("options", [("--at", AT), ("--speed", "60x")])
def test_the_real_services_have_the_real_time(tmp_path: Path, options: tuple[str, str]) -> None:
    """A run for real refuses another time with exit code 2, and no log is made."""
    real = {"CLERK_SECRET_KEY": SECRET_KEY, "CAMPAIGN_SMTP_URL": "smtp://127.0.0.1:9?tls=none"}
    work = ForkingWorkspace(tmp_path, real).write(2)
    done = work.campaign("run", str(work.file), *options, "--yes")
    assert done.returncode == 2
    assert f"{options[0]} is for the sandbox, and this would send for real: leave it out." in done.stderr
    assert not list(tmp_path.glob("*.db"))
