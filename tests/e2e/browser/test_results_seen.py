"""`campaign results` beside what happened: people who sign in by their mail in Chromium, and people who do not."""

from __future__ import annotations

import email
import email.policy
import json
import re
import shutil
import signal
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from campaign.sandbox.clerkjs import RELEASES, SHIPPED
from support.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

STEPS = """
[[steps]]
name = "first"
subject = "First {{ first_name }}"
[[steps]]
name = "second"
subject = "Second {{ first_name }}"
due = "first + 1d"
"""
PEOPLE = 24


@contextmanager
def serving(campaign: Workspace) -> Iterator[dict[str, str]]:
    """Serve the sandbox of a campaign; yield the settings that it prints for other programs."""
    process = campaign.start("sandbox", "--port", "0", "--smtp-port", "0")
    assert process.stdout is not None
    said = ""
    while "CAMPAIGN_SMTP_URL" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    try:
        yield dict(re.findall(r"export (\w+)=(\S+)", said))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def links(campaign: Workspace, step: str) -> dict[str, str]:
    """Return the path and query of each sign-in link of a step's mails, by the recipient's user id."""
    found = {}
    for file in (campaign.folder / ".campaign/mail/new").iterdir():
        mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        if mail["Subject"].startswith(step):
            body = mail.get_body(("plain",))
            assert body is not None
            link = re.search(r"https?://[^/\s]+(/welcome\S*)", body.get_content())
            assert link is not None
            found[f"user_{mail['To'].partition('@')[0][1:]}"] = link[1]
    return found


def sign_in(chromium: Browser, address: str) -> None:
    """Open a link in a new browser and press the page's button."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(address)
    page.locator("[data-state=ready]").wait_for(timeout=20_000)
    page.get_by_role("button", name="Continue").click()
    page.locator("[data-state=signed_in]").wait_for(timeout=20_000)
    context.close()


def results(campaign: Workspace) -> dict[str, Any]:
    """Return what `campaign results --json` prints."""
    answer = campaign.campaign("results", "campaign.toml", "--json")
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_exactly_those_who_signed_in_are_shown(tmp_path: Path, clerk_js: dict[str, Path], chromium: Browser) -> None:
    """Who signs in after each step's mail in a browser is counted for it, and one held out who did so stands beside."""
    if not SHIPPED.is_dir():
        kept = tmp_path / ".campaign" / "clerk-js"
        kept.parent.mkdir(mode=0o700)
        shutil.copytree(clerk_js["6"], kept / RELEASES["6"])
    campaign = Workspace(tmp_path).write(PEOPLE, recipients='holdout = "30%"', more=STEPS)
    first = campaign.run()
    assert first.returncode == 0, first.stderr
    rows = campaign.rows()
    held = sorted({row["key"] for row in rows if row["reason"] == "held out"})
    sent = links(campaign, "First")
    assert len(sent) + len(held) == PEOPLE
    assert {row["key"] for row in rows if row["state"] == "sent"} == set(sent)
    early, late = sorted(sent)[:2], sorted(sent)[2:5]
    with serving(campaign) as settings:
        origin = settings["CLERK_API_URL"]
        for person in early:
            sign_in(chromium, origin + sent[person])
        if held:  # by another way than a mail of ours
            key = {"Authorization": f"Bearer {settings['CLERK_SECRET_KEY']}"}
            made = httpx.post(f"{origin}/v1/sign_in_tokens", headers=key, json={"user_id": held[0]})
            sign_in(chromium, f"{origin}/welcome?token={made.json()['token']}")
    found = results(campaign)
    assert [(each["step"], each["number"], each["signed_in"]) for each in found["steps"]] == [
        ("first", len(sent), 2),
        ("second", 0, 0),
    ]
    assert (found["held_out"]["number"], found["held_out"]["signed_in"]) == (len(held), min(len(held), 1))

    tomorrow = (datetime.now(UTC) + timedelta(hours=25)).isoformat(timespec="seconds")
    second = campaign.run("--at", tomorrow)
    assert second.returncode == 0, second.stderr
    again = links(campaign, "Second")
    assert set(again) == set(sent) - set(early)  # the others came back by the first mail
    with serving(campaign) as settings:
        for person in late:
            sign_in(chromium, settings["CLERK_API_URL"] + again[person])
    found = results(campaign)
    assert [(each["step"], each["number"], each["signed_in"]) for each in found["steps"]] == [
        ("first", len(sent), 2),
        ("second", len(again), 3),
    ]
    assert all(each["within"]["hour"]["at_least"] == each["signed_in"] for each in found["steps"])
    assert (found["everyone"]["number"], found["everyone"]["signed_in"]) == (len(sent), 5)
    assert (found["held_out"]["number"], found["held_out"]["signed_in"]) == (len(held), min(len(held), 1))
    assert found["links"] == {"used": 2, "unused": len(sent) - 2 + len(again) - 3, "open": 3}
    assert [each["number"] for each in found["days"]] == [len(sent), len(again)]

    written = campaign.campaign("report", "campaign.toml", "--html", "report.html")
    assert written.returncode == 0, written.stderr
    for width in (320, 1280):
        context = chromium.new_context(viewport={"width": width, "height": 900})
        page = context.new_page()
        page.goto((tmp_path / "report.html").as_uri())
        shown = page.locator("section[aria-labelledby=cameback] tbody").first.locator("tr")
        told = {row.locator("th").inner_text(): row.locator("td.number").first.inner_text() for row in shown.all()}
        assert (int(told["mailed"].split()[0]), int(told["signed in since"].split()[0])) == (len(sent), 5)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        context.close()
