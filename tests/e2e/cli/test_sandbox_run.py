"""The embedded sandbox as a newcomer uses it: a copy of the repository's campaigns, no settings, one command."""

from __future__ import annotations

import base64
import csv
import email
import email.policy
import json
import re
import shutil
import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest

from support import ROOT
from support.fork_server import ForkingWorkspace

if TYPE_CHECKING:
    import subprocess
    from email.message import EmailMessage
    from pathlib import Path

WAITLIST = "templates/waitlist-welcome/campaign.toml"
CARTS = "templates/abandoned-cart/campaign.toml"
FATES = "recipients/fates.csv"


@dataclass(frozen=True)
class Clone:
    """A copy of the repository's campaigns, with no setting made."""

    work: ForkingWorkspace

    @property
    def sandbox(self) -> Path:
        """The sandbox's folder."""
        return self.work.folder / ".campaign"

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the waitlist campaign."""
        return self.work.campaign("run", WAITLIST, *options)

    def mails(self) -> list[EmailMessage]:
        """Return the mails of the Maildir."""
        names = sorted((self.sandbox / "mail" / "new").iterdir())
        return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in names]

    def select(self, statement: str) -> list[tuple[Any, ...]]:
        """Return rows of the sandbox's own state."""
        with closing(sqlite3.connect(f"file:{self.sandbox / 'sandbox.db'}?mode=ro", uri=True)) as state:
            return state.execute(statement).fetchall()

    def rows(self, campaign: str = WAITLIST) -> dict[str, dict[str, Any]]:
        """Return the send log's records by address, and the first one if an address occurs twice."""
        done = self.work.campaign("log", campaign, "--format", "jsonl")
        assert done.returncode == 0, done.stderr
        found: dict[str, dict[str, Any]] = {}
        for line in done.stdout.splitlines():
            record = json.loads(line)
            found.setdefault(record["email"], record)
        return found


def copied_to(folder: Path) -> Clone:
    """Return a copy as `git clone` would make it."""
    for name in ("templates", "recipients"):
        shutil.copytree(ROOT / name, folder / name)
    return Clone(ForkingWorkspace(folder))


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A copy in which no campaign has run yet."""
    return copied_to(tmp_path)


@pytest.fixture(scope="module")
def fates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clone, subprocess.CompletedProcess[str]]:
    """A copy in which recipients/fates.csv has run, and the output of that run."""
    clone = copied_to(tmp_path_factory.mktemp("fates"))
    campaign = clone.work.folder / WAITLIST
    text = campaign.read_text(encoding="utf-8")
    campaign.write_text(text.replace('first_delay = "2s"', 'first_delay = "200ms"'), encoding="utf-8")
    return clone, clone.run("--recipients", FATES)


def tokens_in(mail: EmailMessage) -> set[str]:
    """Return the tokens of the links in all parts of a mail."""
    found: set[str] = set()
    for part in mail.walk():
        if part.get_content_maintype() == "text":
            links = re.findall(r'https://[^\s"<>]+', part.get_content().replace("&amp;", "&"))
            found |= {token for link in links for token in parse_qs(urlsplit(link).query).get("token", [])}
    return found


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a token."""
    middle = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return claims


def users_of(path: Path) -> dict[str, str]:
    """Return the user ids of a CSV by address."""
    with path.open(encoding="utf-8", newline="") as lines:
        return {row["email"]: row["user_id"] for row in csv.DictReader(lines)}


def assert_everybody_has_their_own_link(clone: Clone, users: dict[str, str]) -> None:
    """Check that each mail has one live token in the sandbox's state, issued for the user of its address."""
    issued = dict(clone.select("SELECT id, user_id FROM sign_in_tokens WHERE status = 'pending'"))
    addresses = set(clone.select("SELECT user_id, address FROM email_addresses"))
    mails = clone.mails()
    assert sorted(str(mail["To"]) for mail in mails) == sorted(users)
    for mail in mails:
        (token,) = tokens_in(mail)
        user_id = issued.pop(claims_of(token)["sid"])
        assert user_id == users[mail["To"]]
        assert (user_id, mail["To"]) in addresses


def test_the_first_command_mails_the_waitlist(clone: Clone) -> None:
    """Without any setting `run` sends the whole waitlist into the Maildir, each mail with its user's live token."""
    done = clone.run()
    assert (done.returncode, done.stderr) == (0, "")
    first, *_, last = done.stdout.splitlines()
    assert "sandbox" in first
    assert ".campaign" in first
    assert ".campaign/mail/new" in last
    users = users_of(clone.work.folder / "recipients" / "waitlist.csv")
    assert len(users) >= 12
    assert_everybody_has_their_own_link(clone, users)
    for mail in clone.mails():
        assert mail["From"] == "Acme <hello@acme.example>"
        assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def test_the_second_time_there_is_nothing_to_do(clone: Clone) -> None:
    """The same command again says that there is nothing to do, sends nothing and requests no token."""
    assert clone.run().returncode == 0
    before = clone.select("SELECT id FROM sign_in_tokens"), len(clone.mails())
    done = clone.run()
    assert done.returncode == 0
    assert "nothing to send" in done.stdout
    assert (clone.select("SELECT id FROM sign_in_tokens"), len(clone.mails())) == before


@pytest.mark.long
def test_the_carts_get_both_reminders_at_their_times(clone: Clone) -> None:
    """Each cart gets both steps with all its items, a day apart and by day; only the second one's link is alive."""
    done = clone.work.campaign("run", CARTS, "--at", "2026-05-14T12:00+02:00", "--speed", "14400x")
    assert done.returncode == 0, done.stdout + done.stderr
    with (clone.work.folder / "recipients" / "carts.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    carts: dict[str, list[EmailMessage]] = {row["email"]: [] for row in rows}
    for mail in clone.mails():
        carts[str(mail["To"])].append(mail)
    live = dict(clone.select("SELECT id, user_id FROM sign_in_tokens WHERE status = 'pending'"))
    for row in rows:
        first, second = sorted(carts[row["email"]], key=lambda mail: mail["Date"].datetime)
        assert str(first["Subject"]).startswith("In your cart: ")
        assert second["Subject"] == f"Still yours until {row['held_until']}"
        times = [mail["Date"].datetime.astimezone(ZoneInfo(row["time_zone"])) for mail in (first, second)]
        left = datetime.fromisoformat(row["abandoned_at"]).replace(tzinfo=ZoneInfo(row["time_zone"]))
        assert times[0] - left >= timedelta(hours=1)
        assert times[1] - times[0] >= timedelta(hours=23)
        assert all(9 <= time.hour < 20 for time in times)
        for mail in (first, second):
            text = mail.get_body(("plain",))
            assert text is not None
            assert row["item"] in " ".join(text.get_content().split())
        dead, alive = (claims_of(token)["sid"] for mail in (first, second) for token in tokens_in(mail))
        assert dead not in live
        assert live[alive] == row["user_id"]


def test_every_fate_is_told(fates: tuple[Clone, subprocess.CompletedProcess[str]]) -> None:
    """Each fate of recipients/fates.csv leads to its state, the run exits 1, and the log has the server's own words."""
    clone, done = fates
    assert done.returncode == 1
    assert done.stderr == ""
    rows = clone.rows()
    wanted = {
        "paula.plain": ("sent", "2.0.0"),
        "bruno+bounce": ("failed", "5.1.1"),
        "dora+defer2": ("sent", "2.0.0"),
        "dario+drop": ("uncertain", ""),
        "nora+nouser": ("skipped", ""),
        "milan+mismatch": ("skipped", ""),
        "una+unverified": ("skipped", ""),
        "ivo.invalid@": ("skipped", ""),
        "nameless": ("sent", "2.0.0"),
        "tara+task": ("sent", "2.0.0"),
    }
    assert {name: rows[f"{name}@example.com"]["state"] for name in wanted} == {
        name: state for name, (state, _) in wanted.items()
    }
    for name, (_, words) in wanted.items():
        assert (rows[f"{name}@example.com"]["reply"] or "").startswith(words)
    assert rows["bruno+bounce@example.com"]["code"] == 550
    assert rows["dora+defer2@example.com"]["attempts"] == 3
    for state, name in (("failed", "bruno"), ("uncertain", "dario"), ("skipped", "nora")):
        row = next(row for address, row in rows.items() if address.startswith(name))
        assert state in done.stdout
        assert row["reason"] in done.stdout
    assert "line 9" in done.stdout, "the row that repeats another is told by its line"
    for command in ("campaign resolve", "campaign retry"):
        assert f"{command} {WAITLIST}" in done.stdout


def test_the_links_of_the_fates_are_as_their_states_say(
    fates: tuple[Clone, subprocess.CompletedProcess[str]],
) -> None:
    """In the sandbox the tokens of bounced recipients are revoked, and those of sent and uncertain ones are pending."""
    clone, _ = fates
    rows = clone.rows()
    status = dict(clone.select("SELECT id, status FROM sign_in_tokens"))
    alive = {row["token_id"] for row in rows.values() if row["state"] in {"sent", "uncertain"}}
    assert {token for token, state in status.items() if state == "pending"} == alive
    assert status[rows["bruno+bounce@example.com"]["token_id"]] == "revoked"
    assert len(status) == 8, "two deferrals cost a token each, and strangers none"


def test_a_run_can_start_afresh(clone: Clone) -> None:
    """`--fresh` mails everybody again in the sandbox, and keeps the mail that is there."""
    assert clone.run().returncode == 0
    number = len(clone.mails())
    done = clone.run("--fresh")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(clone.mails()) == 2 * number
    assert clone.run("--fresh", "--recipients", "nobody.csv").returncode == 2


def test_the_sandbox_keeps_to_itself(clone: Clone) -> None:
    """The sandbox has its own send log, readable only by its owner, and creates nothing else in the folder."""
    before = set(clone.work.folder.rglob("*"))
    assert clone.run("--limit", "2").returncode == 0
    made = [path for path in clone.work.folder.rglob("*") if path not in before]
    assert all(path == clone.sandbox or clone.sandbox in path.parents for path in made)
    assert (clone.sandbox / "send-log.db").is_file()
    for path in [clone.sandbox, *made]:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_a_test_mail_lands_in_the_sandbox(clone: Clone) -> None:
    """`test --to` without any setting puts one mail into the Maildir, and requests no token."""
    done = clone.work.campaign("test", WAITLIST, "--to", "me@example.com")
    assert done.returncode == 0, done.stderr
    assert "sandbox" in done.stdout
    (mail,) = clone.mails()
    assert mail["To"] == "me@example.com"
    assert not clone.select("SELECT id FROM sign_in_tokens")
