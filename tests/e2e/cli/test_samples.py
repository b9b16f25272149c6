"""The samples in `templates/`, and the folders that `campaign new` writes: they check clean and run at once."""

from __future__ import annotations

import email
import email.policy
import json
import re
import shlex
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from campaign.samples import SAMPLES
from e2e.cli.test_inbox import serving
from support import ROOT
from support.fork_server import ForkingWorkspace
from support.html_tree import tree
from support.plain_http import NO_TLS
from support.variants import variants
from support.workspace import SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import EmailMessage
    from pathlib import Path

EVERY = pytest.mark.parametrize("like", SAMPLES)
#: The mails that each sample sends, when it is played to its end.
MAILS = {"waitlist": 14, "cart": 12, "promotion": 9, "survey": 8}


def mails_in(folder: Path) -> list[bytes]:
    """Return the sandbox's mails."""
    return [path.read_bytes() for path in sorted((folder / ".campaign/mail/new").iterdir())]


def parsed(mail: bytes) -> EmailMessage:
    """Return a mail as its reader sees it."""
    return email.message_from_bytes(mail, policy=email.policy.default)


def links_of(mail: EmailMessage, kind: str) -> list[str]:
    """Return the links of the text or the HTML part that carry a token."""
    body = mail.get_body((kind,))
    assert body is not None
    found = re.findall(r'https://[^\s"<>]+', body.get_content().replace("&amp;", "&"))
    return [link for link in found if "token=" in link]


def query_of(link: str) -> dict[str, list[str]]:
    """Return the parameters of a link."""
    return parse_qs(urlsplit(link).query)


def counts(work: ForkingWorkspace, file: str) -> dict[str, Any]:
    """Return what `status --json` prints."""
    done = work.campaign("status", file, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("like", variants(SAMPLES, "cart"))
def test_a_new_campaign_checks_clean_and_runs_at_once(tmp_path: Path, like: str) -> None:
    """What `new` writes has no problem and no warning; a first run mails who can be mailed now; nothing is too late."""
    work = ForkingWorkspace(tmp_path)
    made = work.campaign("new", "mine", "--like", like)
    assert (made.returncode, made.stderr) == (0, "")
    checked = work.campaign("check", "mine/campaign.toml")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "warning" not in checked.stdout
    assert "problem" not in checked.stdout
    # what becomes due at night waits for the next day
    noon = datetime.now(UTC).replace(hour=12, minute=0) + timedelta(days=1)
    for at in ([], ["--at", noon.isoformat(timespec="minutes")]):
        done = work.campaign("run", "mine/campaign.toml", "--no-wait", *at)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        if (found := counts(work, "mine/campaign.toml"))["sent"]:
            break
    assert 0 < found["sent"] == len(mails_in(tmp_path)) <= MAILS[like]
    assert found["sent"] + found["queued"] == MAILS[like]
    assert found["skipped"] == found["failed"] == 0


@pytest.mark.long
@EVERY
def test_the_command_that_new_prints_shows_all_of_it(tmp_path: Path, like: str) -> None:
    """The printed command plays the campaign to its end (the waitlist its first batch)."""
    work = ForkingWorkspace(tmp_path)
    made = work.campaign("new", "mine", "--like", like).stdout
    (command,) = (line for line in made.splitlines() if line.startswith("    campaign run"))
    began = datetime.now(UTC) - timedelta(minutes=1)
    done = work.campaign(*shlex.split(command)[1:])
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    mails = mails_in(tmp_path)
    assert len(mails) == (5 if like == "waitlist" else MAILS[like])
    for mail in map(parsed, mails):
        html, text = mail.get_body(("html",)), mail.get_body(("plain",))
        assert html is not None
        assert text is not None
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        (token,) = {query_of(link)["token"][0] for kind in ("plain", "html") for link in links_of(mail, kind)}
        assert token.startswith("eyJ")
        for image in tree(html.get_content()).all("img"):
            assert image.attributes["alt"]
    if like == "cart":
        assert_reminded_twice(map(parsed, mails), began)


def assert_reminded_twice(mails: Iterable[EmailMessage], began: datetime) -> None:
    """Check that each cart gets its first mail within a day of the beginning, and the second 23 hours or more later."""
    sent: dict[str, list[datetime]] = {}
    for mail in mails:
        sent.setdefault(str(mail["To"]), []).append(mail["Date"].datetime)
    assert len(sent) == 6
    for first, second in map(sorted, sent.values()):
        assert began < first < began + timedelta(hours=25)
        assert timedelta(hours=23) <= second - first < timedelta(hours=48)


@pytest.mark.long
@EVERY
def test_a_sample_plays_as_its_first_lines_say(tmp_path: Path, like: str) -> None:
    """Each sample in `templates/` checks clean, and the command in its first lines mails everybody, nobody too late."""
    for name in ("templates", "recipients"):
        shutil.copytree(ROOT / name, tmp_path / name)
    work, file = ForkingWorkspace(tmp_path), f"templates/{SAMPLES[like].folder}/campaign.toml"
    checked = work.campaign("check", file)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "warning" not in checked.stdout
    found = re.search(r"^#   campaign (run .*)$", (tmp_path / file).read_text("utf-8"), re.MULTILINE)
    assert found is not None
    command = found[1].replace("--speed 7200x", "--speed 14400x")  # twice as fast will do here
    done = work.campaign(*shlex.split(command))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert counts(work, file)["sent"] == (5 if like == "waitlist" else MAILS[like])


@pytest.mark.long
def test_the_waitlist_goes_batch_by_batch(tmp_path: Path) -> None:
    """Each run takes the next batch in the order of the list, exits 0, and the fourth has nothing to do."""
    work = ForkingWorkspace(tmp_path)
    work.campaign("new", "in")
    places = []
    for size in (5, 5, 4, 0):
        before = set((tmp_path / ".campaign/mail/new").glob("*"))
        done = work.campaign("run", "in/campaign.toml", "--limit", "5")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        new = set((tmp_path / ".campaign/mail/new").glob("*")) - before
        assert len(new) == size
        bodies = [parsed(path.read_bytes()).get_body(("plain",)) for path in new]
        found = [re.search(r"Number (\d+) came up", body.get_content()) for body in bodies if body]
        places.append(sorted(int(each[1]) for each in found if each))
    assert [*places[0], *places[1], *places[2]] == list(range(201, 215))


def test_each_answer_of_the_survey_is_a_link_with_one_token(tmp_path: Path) -> None:
    """The five answers lead to paths of their own, with the same token; the person's own feature is in the path."""
    work = ForkingWorkspace(tmp_path)
    work.campaign("new", "ask", "--like", "survey")
    assert work.campaign("run", "ask/campaign.toml").returncode == 0
    for mail in map(parsed, mails_in(tmp_path)):
        for kind in ("plain", "html"):
            queries = [query_of(link) for link in links_of(mail, kind)]
            assert len({query["token"][0] for query in queries}) == 1
            paths = [urlsplit(query["next"][0]) for query in queries]
            assert {path.path for path in paths} == {"/survey/ease"}
            answers = [parse_qs(path.query) for path in paths]
            assert [each["answer"][0] for each in answers if "answer" in each] == ["5", "4", "3", "2", "1"]
            assert {f"How easy was {each['about'][0]}?" for each in answers} == {mail["Subject"]}


def test_new_begins_where_the_sandbox_is(tmp_path: Path) -> None:
    """In a sandbox that is days ahead, a new campaign's times are of that day, so that a run mails at once."""
    work = ForkingWorkspace(tmp_path)
    work.campaign("new", "first", "--like", "survey")
    assert work.campaign("run", "first/campaign.toml", "--at", "2041-03-01T12:00Z").returncode == 0
    work.campaign("new", "second", "--like", "cart")
    assert "2041-02-2" in (tmp_path / "second/carts.csv").read_text("utf-8")
    assert work.campaign("run", "second/campaign.toml", "--no-wait").returncode == 0
    assert counts(work, "second/campaign.toml")["sent"] > 0


def test_new_leaves_what_exists_alone(tmp_path: Path) -> None:
    """Into a folder that exists nothing is written: exit code 2 and a sentence; so for a name that no campaign has."""
    work = ForkingWorkspace(tmp_path)
    (tmp_path / "mine").mkdir()
    done = work.campaign("new", "mine")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "campaign: mine exists and was not changed; name another folder\n"
    assert list((tmp_path / "mine").iterdir()) == []
    done = work.campaign("new", "our carts")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the folder's name becomes the campaign's" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_with_real_settings_new_prints_a_command_for_the_sandbox(tmp_path: Path) -> None:
    """Where settings name real services, the printed command says `--sandbox`: the sample's people are no customers."""
    work = ForkingWorkspace(tmp_path, {"CLERK_SECRET_KEY": SECRET_KEY, "CAMPAIGN_SMTP_URL": "smtps://smtp.example.com"})
    assert "    campaign run mine/campaign.toml --limit 5 --sandbox\n" in work.campaign("new", "mine").stdout


def test_an_empty_inbox_says_how_to_begin(tmp_path: Path) -> None:
    """The sandbox's empty inbox names the campaign of this folder, a sample that is due at once, or `campaign new`."""
    work = ForkingWorkspace(tmp_path)
    assert "campaign new welcome" in inbox_of(work)
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    assert "campaign run templates/survey/campaign.toml" in inbox_of(work)
    work.campaign("new", "mine", "--like", "cart")
    assert "campaign run mine/campaign.toml" in inbox_of(work)


def inbox_of(work: ForkingWorkspace) -> str:
    """Return the page of the sandbox's inbox."""
    with serving(work, "sandbox", "--port", "0", "--smtp-port", "0", until="Inbox:") as (said, _):
        found = re.search(r"Inbox: (\S+)", said)
        assert found is not None
        return httpx.get(f"{found[1]}/__inbox/", verify=NO_TLS).text
