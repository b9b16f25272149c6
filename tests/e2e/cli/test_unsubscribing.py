"""Unsubscribing end to end: `campaign serve` beside runs, and `campaign suppress`."""

from __future__ import annotations

import re
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from email import message_from_bytes
from email.policy import SMTP
from itertools import count
from typing import TYPE_CHECKING

import httpx
import pytest

from support.dkim_keys import verifies, write_key
from support.environment import environment
from support.fork_server import ForkingWorkspace
from support.plain_http import NO_TLS
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from support.environment import Environment

SECTION = '[unsubscribe]\nurl = "https://mail.acme.example/u"\nlist = "news"\nmailto = "leave@acme.example"\n'
HTML = '<p>Hi {{ first_name }}</p><p><a href="{{ link }}">Sign in</a></p><p><a href="{{ unsubscribe }}">No more</a></p>'
TEXT = "Hi {{ first_name }}\n\n{{ link }}\n\nNo more: {{ unsubscribe }}\n"
ONE_CLICK = "List-Unsubscribe=One-Click"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return the folder in which the mail server keeps what it accepted."""
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


@contextmanager
def mailing(tmp_path: Path, kept: Path, *, people: int = 3, more: str = "") -> Iterator[Environment]:
    """Yield a campaign whose mails have an unsubscribe link."""
    folder = tmp_path / "work"
    folder.mkdir()
    smtp = SmtpScript(keep=str(kept))
    with environment(folder, people, smtp=smtp, html=HTML, text=TEXT, more=SECTION + more) as env:
        yield env


@contextmanager
def serving(env: Environment) -> Iterator[httpx.Client]:
    """Yield a client of a `campaign serve`, which is ended by Ctrl-C."""
    process = env.work.start("serve", "campaign.toml", "--port", "0")
    assert process.stdout is not None
    said = process.stdout.readline()
    assert "https://mail.acme.example/u/… is answered at http://127.0.0.1:" in said, process.stderr
    with httpx.Client(base_url=said.split()[-1], trust_env=False, verify=NO_TLS) as client:
        yield client
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def delivered(env: Environment, kept: Path, address: str) -> bytes:
    """Return the mail that an address got."""
    name: str
    (name,) = {event["sha256"] for event in env.accepted if event["rcpt"] == [address]}
    return kept.joinpath(name).read_bytes()


def path_in(mail: bytes) -> str:
    """Return the path of the link in a mail's List-Unsubscribe header, below the address of the endpoint."""
    (found,) = re.findall(
        rb"^List-Unsubscribe: <https://mail\.acme\.example/u(/[A-Za-z0-9_-]{34})>", mail, re.MULTILINE
    )
    return str(found.decode())


def test_the_link_is_in_both_headers_and_in_both_parts(tmp_path: Path, kept: Path) -> None:
    """Both headers are one line each and under our DKIM signature; each person has a link of their own."""
    with mailing(tmp_path, kept, more='[dkim]\nselector = "s1"\n') as env:
        env.work.environment["CAMPAIGN_DKIM_KEY"] = str(write_key(tmp_path, "rsa2048"))
        checked = env.work.campaign("check", "campaign.toml").stdout.splitlines()
        at = checked.index("s1._domainkey.acme.example")
        assert env.work.run().returncode == 0
        mails = [delivered(env, kept, address) for address in env.mailed]
    assert len({path_in(mail) for mail in mails}) == 3
    for mail in mails:
        assert verifies(mail, {checked[at]: checked[at + 1]})
        message = message_from_bytes(mail, policy=SMTP)
        token = path_in(mail)[1:]
        link = f"https://mail.acme.example/u/{token}"
        assert message["List-Unsubscribe"] == f"<{link}>, <mailto:leave@acme.example?subject=unsubscribe%20{token}>"
        assert message["List-Unsubscribe-Post"] == ONE_CLICK
        assert message["List-Id"] == "<news.acme.example>"
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["Feedback-ID"] == "trial:news:campaign:acme-example"
        signed = re.sub(r"\s", "", message["DKIM-Signature"]).partition(";h=")[2].partition(";")[0].split(":")
        assert {"list-unsubscribe", "list-unsubscribe-post"} <= set(signed)
        for subtype in ("html", "plain"):
            part = message.get_body((subtype,))
            assert part is not None
            assert link in part.get_content()


def test_one_click_stops_this_and_the_next_campaign_of_the_list(tmp_path: Path, kept: Path) -> None:
    """The POST of a mail program suppresses the address: later runs of the list skip it before a token is asked for."""
    with mailing(tmp_path, kept) as env:
        assert env.work.run().returncode == 0
        mail = delivered(env, kept, "u1@d1.example")
        with serving(env) as client:
            answer = client.post(path_in(mail), content=ONE_CLICK, headers={"Content-Type": "text/plain"})
        assert answer.status_code == 200
        assert "unsubscribed" in answer.text
        assert not answer.cookies
        text = env.work.file.read_text(encoding="utf-8")
        for name, mailing_list, sent in (("second", "news", 2), ("third", "offers", 3)):
            changed = text.replace('name = "trial"', f'name = "{name}"').replace('"news"', f'"{mailing_list}"')
            env.work.file.write_text(changed, encoding="utf-8")
            before = len(env.tokens)
            done = env.work.run()
            assert done.returncode == 0
            assert len(env.tokens) - before == sent
            assert env.work.status()["sent"] == sent
            assert ("suppressed: unsubscribed" in done.stdout) == (sent == 2)


def test_a_scanner_unsubscribes_nobody(tmp_path: Path, kept: Path) -> None:
    """GET, HEAD and other methods change nothing; a GET shows a page with one button, which posts to the same path."""
    with mailing(tmp_path, kept) as env:
        assert env.work.run().returncode == 0
        path = path_in(delivered(env, kept, "u1@d1.example"))
        with serving(env) as client:
            page = client.get(path)
            assert page.status_code == client.head(path).status_code == 200
            assert page.text.count("<button>") == page.text.count('<form method="post">') == 1
            for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
                assert client.request(method, path).status_code == 405
        assert env.work.campaign("suppress", "list").stdout == "email,list,reason,at,campaign,key\n"


def test_a_false_token_gets_the_same_answer(tmp_path: Path, kept: Path) -> None:
    """A POST with any body is taken; with a changed or random token the answer is the same and nobody is suppressed."""
    with mailing(tmp_path, kept) as env:
        assert env.work.run().returncode == 0
        path = path_in(delivered(env, kept, "u1@d1.example"))
        false = [path[:-2] + ("A" if path[-2] != "A" else "B") + path[-1], "/" + "x" * 34, "/short", f"{path}x"]
        with serving(env) as client:
            answers = [client.post(each, data={"a": "b"}) for each in false]
            assert env.work.campaign("suppress", "list").stdout.count("\n") == 1
            answers += [client.post(f"/behind/a/proxy{path}", content=b"\x00\xff" * 5000), client.post(path)]
        assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}
        listed = env.work.campaign("suppress", "list", "--format", "jsonl").stdout
        assert listed.count("\n") == 1
        assert '"email": "u1@d1.example", "list": "news", "reason": "unsubscribed"' in listed
        assert '"campaign": "trial", "key": "user_1"' in listed


def test_what_was_answered_survives_a_kill(tmp_path: Path, kept: Path) -> None:
    """A server that is killed right behind its answer has lost nothing."""
    with mailing(tmp_path, kept) as env:
        assert env.work.run().returncode == 0
        path = path_in(delivered(env, kept, "u2@d2.example"))
        process = env.work.start("serve", "campaign.toml", "--port", "0")
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert httpx.post(url + path, trust_env=False, verify=NO_TLS).status_code == 200
        process.kill()
        process.communicate()
        with closing(sqlite3.connect(env.work.log)) as connection:
            assert connection.execute("SELECT address FROM suppression").fetchall() == [("u2@d2.example",)]


def clicks_until_killed(env: Environment, paths: Mapping[str, str], *, kill_at: int) -> set[str]:
    """POST to many links at once, and kill the server behind one of its answers; return who got 200."""
    process = env.work.start("serve", "campaign.toml", "--port", "0")
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    got = count(1)

    def click(address: str) -> str | None:
        try:
            status = client.post(paths[address], content=ONE_CLICK).status_code
        except httpx.TransportError:
            return None
        assert status == 200
        if next(got) == kill_at:
            process.kill()
        return address

    with httpx.Client(base_url=url, trust_env=False, verify=NO_TLS) as client, ThreadPoolExecutor(8) as readers:
        answered = {address for address in readers.map(click, paths) if address}
    process.kill()
    process.communicate()
    return answered


@pytest.mark.long
def test_a_server_killed_among_many_clicks_keeps_each_that_it_answered(tmp_path: Path, kept: Path) -> None:
    """`serve` is killed behind one of many answers again and again: every address that got 200 is suppressed."""
    with mailing(tmp_path, kept, people=40) as env:
        assert env.work.run().returncode == 0
        left = {address: path_in(delivered(env, kept, address)) for address in env.mailed}
        answered: set[str] = set()
        for kill_at in (1, 4, 9):
            now = clicks_until_killed(env, left, kill_at=kill_at)
            assert kill_at <= len(now) < len(left), "it was killed while others waited for their answers"
            answered |= now
            left = {address: path for address, path in left.items() if address not in now}
            with closing(sqlite3.connect(env.work.log)) as connection:
                listed = {row[0] for row in connection.execute("SELECT address FROM suppression WHERE list = 'news'")}
            assert answered <= listed
        text = env.work.file.read_text("utf-8").replace('name = "trial"', 'name = "second"')
        env.work.file.write_text(text, encoding="utf-8")
        before = len(env.tokens)
        env.work.run()
        assert {token["user_id"] for token in env.tokens[before:]}.isdisjoint(
            row["user_id"] for row in env.work.rows() if row["email"] in listed
        )
        assert len(env.tokens) - before == 40 - len(listed)


def test_the_list_is_kept_by_hand_and_by_file(tmp_path: Path, kept: Path) -> None:
    """Add, list, export, remove and import; an address is found in any case and as an international domain."""
    with mailing(tmp_path, kept) as env:
        work = env.work
        assert work.campaign("suppress", "add", "U0@D0.example", "--list", "news", "--reason", "asked").returncode == 0
        assert work.campaign("suppress", "add", "x@bücher.example").returncode == 0
        assert "before" in work.campaign("suppress", "add", "x@xn--bcher-kva.example").stdout
        assert "2 entries" in work.campaign("suppress", "export", "no.csv").stdout
        assert work.campaign("suppress", "remove", "u0@d0.example").returncode == 0
        assert work.campaign("suppress", "remove", "u0@d0.example").returncode == 1
        assert "1 address of no.csv newly suppressed" in work.campaign("suppress", "import", "no.csv").stdout
        (work.folder / "plain.txt").write_text("u1@d1.example\nu2@d2.example\n", encoding="utf-8")
        assert "2 addresses" in work.campaign("suppress", "import", "plain.txt", "--list", "news").stdout
        assert work.run().returncode == 2, "nobody is left"
        assert not env.tokens
        assert {row["reason"][:18] for row in work.rows()} == {"suppressed: asked ", "suppressed: by han"}


def test_a_site_that_answers_the_link_itself_hands_the_token_over(tmp_path: Path, kept: Path) -> None:
    """`suppress add --token` does what the POST does; a false token is refused."""
    with mailing(tmp_path, kept) as env:
        assert env.work.run().returncode == 0
        path = path_in(delivered(env, kept, "u1@d1.example"))
        done = env.work.campaign("suppress", "add", "--token", f"https://mail.acme.example/u{path}")
        assert "u1@d1.example: suppressed: unsubscribed" in done.stdout
        false = env.work.campaign("suppress", "add", "--token", "x" * 34)
        assert false.returncode == 2
        assert "not of this send log" in false.stderr


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("email\nu1@d1.example\nnobody\n", "no.csv:3:"),
        ("address\nu1@d1.example\n", "no.csv:1: there is no column email"),
        ("email,at\nu1@d1.example,yesterday\n", "no.csv:2: 'yesterday' is not a time"),
        ("", "no.csv: the file is empty"),
    ],
)
def test_a_wrong_file_changes_nothing(tmp_path: Path, kept: Path, text: str, where: str) -> None:
    """The sentence names the line, and no row of the file is imported."""
    with mailing(tmp_path, kept) as env:
        (env.work.folder / "no.csv").write_text(text, encoding="utf-8")
        done = env.work.campaign("suppress", "import", "no.csv")
        assert done.returncode == 2
        assert where in done.stderr
        assert env.work.campaign("suppress", "list").stdout.count("\n") == 1


def test_a_campaign_without_links_is_not_served(tmp_path: Path) -> None:
    """`serve` of a campaign without `[unsubscribe]` says what to add."""
    with environment(tmp_path) as env:
        done = env.work.campaign("serve", "campaign.toml")
        assert done.returncode == 2
        assert 'add [unsubscribe] with url = "https://mail.acme.example/u"' in done.stderr


@pytest.mark.long
def test_the_sandbox_plays_all_of_it(tmp_path: Path) -> None:
    """The link opens the page of `serve` from the inbox; its button suppresses, and the next run skips the person."""
    work = ForkingWorkspace(tmp_path).write(2, html=HTML, text=TEXT, more=SECTION)
    assert work.campaign("run", "campaign.toml").returncode == 0
    process = work.start("sandbox", "--port", "0", "--smtp-port", "0")
    try:
        assert process.stdout is not None
        url = next(line.split()[-1] for line in process.stdout if line.startswith("Inbox: "))
        # its first page takes a while on a busy machine
        with httpx.Client(base_url=url, trust_env=False, timeout=60, verify=NO_TLS) as client:
            (link,) = re.findall(rf'href="({url}/u/[A-Za-z0-9_-]{{34}})"', client.get("/__inbox/mails/1").text)
            assert '<form method="post">' in client.get(link).text
            assert work.campaign("suppress", "list", "--sandbox").stdout.count("\n") == 1
            assert "You are unsubscribed" in client.post(link).text
            assert "unsubscribe" not in client.get(link[:-1] + "!").text, "another address is a page of the site"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    text = work.file.read_text(encoding="utf-8").replace('name = "trial"', 'name = "second"')
    work.file.write_text(text, encoding="utf-8")
    done = work.campaign("run", "campaign.toml")
    assert "1 recipient skipped, because the address is suppressed" in done.stdout
    assert "suppressed: unsubscribed" in done.stdout
