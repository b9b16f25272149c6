"""The sandbox on the command line: `campaign sandbox`, and `--open` of run and preview."""

from __future__ import annotations

import re
import shlex
import signal
import socket
import sqlite3
import time
from contextlib import contextmanager
from html import unescape
from typing import TYPE_CHECKING

import httpx
import pytest

from campaign.cli.inbox import refuse_live_keys
from campaign.config.settings import Settings
from campaign.errors import SettingsError
from support.fork_server import ForkingWorkspace
from support.plain_http import NO_TLS
from support.workspace import SECRET_KEY

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

PUBLISHABLE = "pk_test_c2FuZGJveC5jbGVyay5hY2NvdW50cy5kZXYk"


@pytest.fixture
def campaign(tmp_path: Path) -> ForkingWorkspace:
    """A campaign, and a fake browser that records what it is told to open."""
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> "{tmp_path}/opened"\n')
    browser.chmod(0o700)
    return ForkingWorkspace(tmp_path, {"BROWSER": str(browser)}).write(2)


@contextmanager
def serving(campaign: ForkingWorkspace, *arguments: str, until: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start a command, wait until it prints `word`, yield its output, and at the end send Ctrl-C."""
    process = campaign.start(*arguments)
    said = ""
    try:
        assert process.stdout is not None
        while until not in said:
            line = process.stdout.readline()
            if not line:
                _, errors = process.communicate(timeout=60)
                raise AssertionError(f"it ended: {said}{errors}")
            said += line
        yield said, process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def exported(said: str) -> dict[str, str]:
    """Return the variables that a shell would set from these lines."""
    lines = [shlex.split(line) for line in said.splitlines() if line.startswith("export ")]
    return dict(words[1].split("=", 1) for words in lines)


def opened(campaign: ForkingWorkspace) -> str:
    """Wait until the browser is told to open something, and return it."""
    noted = campaign.folder / "opened"
    while not (noted.exists() and noted.read_text().endswith("\n")):
        time.sleep(0.02)  # noqa: TID251 - waits for another process
    (url,) = noted.read_text().split()
    return url


def get(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False, follow_redirects=True, timeout=30, verify=NO_TLS)


def test_the_sandbox_says_how_to_use_it(campaign: ForkingWorkspace) -> None:
    """`sandbox` prints the inbox's URL and lines to export that any program can use, and exits 0 at Ctrl-C."""
    command = ("sandbox", "--port", "0", "--smtp-port", "0")
    with serving(campaign, *command, until="CAMPAIGN_SMTP_URL") as (said, process):
        settings = exported(said)
        assert list(settings) == ["CLERK_API_URL", "CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY", "CAMPAIGN_SMTP_URL"]
        assert f"Inbox: {settings['CLERK_API_URL']}\n" in said
        assert "No mail yet" in get(settings["CLERK_API_URL"]).text
        key = {"Authorization": f"Bearer {settings['CLERK_SECRET_KEY']}"}
        assert (
            httpx.get(f"{settings['CLERK_API_URL']}/v1/users", headers=key, trust_env=False, verify=NO_TLS).json() == []
        )
        landing = get(f"{settings['CLERK_API_URL']}/welcome?token=x").text
        assert settings["CLERK_PUBLISHABLE_KEY"] in landing
        assert "/__clerk/npm/@clerk/clerk-js@6/dist/clerk.browser.js" in landing
        campaign.environment |= settings
        assert campaign.run().returncode == 2, "the sandbox of this command knows no user of the CSV"
        assert campaign.status()["skipped"] == 2
    assert process.returncode == 0


def test_a_run_in_the_sandbox_is_seen_in_the_inbox(campaign: ForkingWorkspace) -> None:
    """A run prints the command that opens the inbox, and the inbox shows its mails with the send log's data."""
    answer = campaign.run()
    assert answer.returncode == 0
    assert "campaign sandbox" in answer.stdout.splitlines()[-1]
    command = ("sandbox", "--port", "0", "--smtp-port", "0")
    with serving(campaign, *command, until="CAMPAIGN_SMTP_URL") as (said, _):
        url = exported(said)["CLERK_API_URL"]
        page = get(f"{url}/__inbox/mails/1").text
    log = campaign.folder / ".campaign" / "send-log.db"
    with sqlite3.connect(log) as connection:
        (key,) = connection.execute(
            "SELECT key FROM delivery WHERE message_id = ?", (message_id_in(campaign),)
        ).fetchone()
    connection.close()
    assert '<span class="chip state-sent">sent</span>' in page
    assert f"<dt>key</dt><dd>{key}</dd>" in page
    assert re.search(r"<dt>reply</dt><dd>250 2\.0\.0 OK", page)
    assert "Sign-in link" in page
    assert f'href="{url}/welcome?token=' in unescape(page)


def message_id_in(campaign: ForkingWorkspace) -> str:
    """Return the Message-ID of the first mail."""
    first = min((campaign.folder / ".campaign" / "mail" / "new").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    found = re.search(rb"^Message-ID: (\S+)", first.read_bytes(), re.MULTILINE)
    assert found is not None
    return found[1].decode()


def test_a_run_can_open_the_inbox(campaign: ForkingWorkspace) -> None:
    """With `--open` the inbox is served after the run and opened in the browser, and the run's exit code is kept."""
    campaign.write([{"user_id": "user_1", "email": "a+bounce@example.com", "first_name": "A"}])
    with serving(campaign, "run", "campaign.toml", "--open", until="Inbox: ") as (said, process):
        url = opened(campaign)
        assert f"Inbox: {url} " in said
        assert "No mail yet" in get(url).text
    assert process.returncode == 1


def test_only_a_sandbox_run_opens_the_inbox(campaign: ForkingWorkspace) -> None:
    """A run with a real mail server refuses `--open` before anything is sent."""
    campaign.serve_by(clerk="http://127.0.0.1:9", smtp="smtp://127.0.0.1:9?tls=none")
    answer = campaign.run("--open")
    assert answer.returncode == 2
    assert "--open" in answer.stderr
    assert not campaign.log.exists()


def test_a_preview_opens_in_the_browser(campaign: ForkingWorkspace) -> None:
    """`preview --open` serves the mails, starting with the chosen one, and sends nothing."""
    command = ("preview", "campaign.toml", "--open", "--email", "U1@d1.example")
    with serving(campaign, *command, until="http") as (said, process):
        url = opened(campaign)
        assert url in said
        assert url.endswith("/rows/2")
        assert "u1@d1.example" in get(url).text
    assert process.returncode == 130
    assert not (campaign.folder / ".campaign").exists()
    nobody = campaign.campaign("preview", "campaign.toml", "--open", "--email", "x@example.com")
    assert nobody.returncode == 2
    assert "no row has the address x@example.com" in nobody.stderr


def test_a_preview_of_groups_ends_quietly(campaign: ForkingWorkspace) -> None:
    """Ctrl-C in the preview of a grouped CSV ends with 130, prints nothing more and leaves no temporary file."""
    campaign.write(5, recipients='group = "items"')
    spool = campaign.folder / "tmp"
    spool.mkdir()
    campaign.environment["TMPDIR"] = str(spool)
    process = campaign.start("preview", "campaign.toml", "--open")
    assert process.stdout is not None
    line = process.stdout.readline()
    url = re.findall(r"http://\S+", line)[0]
    assert "u0@d0.example" in get(url).text
    assert "u1@d1.example" in get(url.replace("/rows/1", "/rows/2")).text
    process.send_signal(signal.SIGINT)
    _, warned = process.communicate(timeout=60)
    assert (process.returncode, warned) == (130, "")
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("option", ["--port", "--smtp-port"])
def test_a_taken_port_is_a_sentence(campaign: ForkingWorkspace, option: str) -> None:
    """If the port is in use, the error names the port and the option for another one."""
    other = "--smtp-port" if option == "--port" else "--port"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = campaign.campaign("sandbox", option, str(port), other, "0")
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"campaign: 127.0.0.1:{port} is in use")
    assert f"add {option} and another number" in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("clerk_secret_key", SECRET_KEY, "is a live key and must not be used with the sandbox"),
        (
            "clerk_publishable_key",
            PUBLISHABLE.replace("test", "live"),
            "is a live key and must not be used with the sandbox",
        ),
        ("clerk_publishable_key", "pk_test_bm90aGluZw", "does not contain a host"),
    ],
)
def test_keys_that_do_not_belong_here_are_refused(name: str, value: str, words: str) -> None:
    """A live key or a malformed key is refused with an error that does not contain the secret key."""
    with pytest.raises(SettingsError, match=words) as error:
        refuse_live_keys(Settings(**{name: value}))  # type: ignore[arg-type]
    assert not value.startswith("sk_") or value not in str(error.value)


def test_nothing_is_served_beside_a_live_key(campaign: ForkingWorkspace) -> None:
    """With a live key in the environment the sandbox does not start, and creates no folder."""
    campaign.environment["CLERK_SECRET_KEY"] = SECRET_KEY
    answer = campaign.campaign("sandbox", "--port", "0", "--smtp-port", "0")
    assert answer.returncode == 2
    assert answer.stderr.startswith("campaign: CLERK_SECRET_KEY is a live key")
    assert not (campaign.folder / ".campaign").exists()


def test_a_folder_that_cannot_be_used_is_a_sentence(campaign: ForkingWorkspace) -> None:
    """If the sandbox's folder is a file, the error says what to do."""
    (campaign.folder / ".campaign").write_text("a file")
    answer = campaign.campaign("sandbox", "--port", "0", "--smtp-port", "0")
    assert answer.returncode == 2
    assert "CAMPAIGN_SANDBOX" in answer.stderr
