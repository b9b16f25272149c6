"""Invalid input on the command line: an error that names the place, exit 2, and nothing sent."""

from __future__ import annotations

import socket
import sqlite3
from typing import TYPE_CHECKING

import pytest

from support.environment import environment
from support.no_fault import assert_no_fault
from support.refusals import refused, stranger_to, table_of
from support.servers.script import Drop, Fault, Reply
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.workspace import Workspace

    Spoil = Callable[[Workspace], object]

HEADER = "user_id,email,first_name\n"


def campaign(old: str, new: str) -> Spoil:
    """Return a function that replaces `old` by `new` in the campaign file."""

    def spoil(work: Workspace) -> None:
        text = work.file.read_text(encoding="utf-8")
        assert old in text
        work.file.write_text(text.replace(old, new, 1), encoding="utf-8")

    return spoil


def people(content: str | bytes) -> Spoil:
    """Return a function that writes the CSV."""
    data = content.encode() if isinstance(content, str) else content
    return lambda work: (work.folder / "people.csv").write_bytes(data)


def text_part(more: str) -> Spoil:
    """Return a function that writes the text template: a line with the link, then `more`."""
    return lambda work: (work.folder / "email.txt").write_text(f"{{{{ link }}}}\n{more}\n", encoding="utf-8")


def folder_instead(name: str) -> Spoil:
    """Return a function that replaces a file by a folder."""

    def spoil(work: Workspace) -> None:
        (work.folder / name).unlink()
        (work.folder / name).mkdir()

    return spoil


CAMPAIGN_FILE: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "missing": (
        lambda work: work.file.unlink(),
        ("campaign.toml: this campaign file does not exist", "type: campaign new NAME"),
    ),
    "a folder": (folder_instead("campaign.toml"), ("campaign.toml: this is a folder",)),
    "no TOML": (campaign("subject =", "subject"), ("campaign.toml:7:", "not TOML")),
    "not UTF-8": (lambda work: work.file.write_bytes(b'name = "\xe9t\xe9"\n'), ("campaign.toml:1:", "UTF-8")),
    "an unknown key": (
        campaign('html = "email.html"', 'html = "email.html"\nreplyto = "a@acme.example"'),
        ("campaign.toml:9:", '"replyto"', '"reply_to"'),
    ),
    "an unknown section": (campaign("[link]", "[links]"), ("campaign.toml:10:", "links", "link")),
    "a missing key": (campaign('subject = "Hello {{ first_name }}"', ""), ("subject is missing", "add subject =")),
    "a rate that is none": (
        campaign("[link]", '[limits]\nmessages = "fast"\n[link]'),
        ("campaign.toml:11:", "messages", "14/second"),
    ),
    "a link that is no URL": (campaign("https://acme", "ftp://acme"), ("campaign.toml:11:", "url", "https://")),
    "a link in clear": (campaign("https://acme", "http://acme"), ("campaign.toml:11:", "url", "unencrypted")),
    "a missing template": (campaign('"email.html"', '"emial.html"'), ("campaign.toml:8:", "emial.html")),
}

TEMPLATE: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "wrong syntax": (text_part("{% if %}"), ("email.txt:2:",)),
    "an undefined variable": (
        text_part("{{ firts_name }}"),
        ("people.csv:2:", "email.txt:2:", "firts_name", "did you mean first_name?", "campaign check"),
    ),
    "a fault in the last row only": (
        text_part('{% if user_id == "user_2" %}\n{{ place }}{% endif %}'),
        ("people.csv:4:", "email.txt:3:", "place"),
    ),
    "an undefined variable in the subject": (
        campaign("Hello {{ first_name", "Hello {{ name"),
        ("people.csv:2:", "campaign.toml", "subject", "name"),
    ),
    "an undefined variable in the link": (
        campaign("acme.example/welcome", "acme.example/{{ cart }}"),
        ("people.csv:2:", "campaign.toml", "link.url", "cart"),
    ),
    "no link at all": (lambda work: (work.folder / "email.txt").write_text("Hello"), ("email.txt:", "{{ link }}")),
}

CSV: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "missing": (
        lambda work: (work.folder / "people.csv").unlink(),
        ("people.csv: this file does not exist", "--recip"),
    ),
    "a folder": (folder_instead("people.csv"), ("people.csv: this is a folder",)),
    "empty": (people(""), ("people.csv: the file is empty", "header")),
    "a header only": (people(HEADER), ("people.csv", "row")),
    "no email column": (people("user_id,mail\nuser_1,a@example.com\n"), ("people.csv:1:", '"email"', '"mail"')),
    "no column for the link": (people("user,email\nuser_1,a@example.com\n"), ("people.csv:1:", '"user_id"', "lookup")),
    "no column for the key": (
        campaign('file = "people.csv"', 'file = "people.csv"\nkey = "cart_id"'),
        ("people.csv:1:", '"cart_id"', "key"),
    ),
    "the same header twice": (people("user_id,email,email\nuser_1,a@example.com,b\n"), ("people.csv:1:", "same name")),
    "a quote that never ends": (
        people(HEADER + 'user_1,a@example.com,"Ada\nuser_2,b@example.com,Bo\n'),
        ("people.csv:2:", "quote"),
    ),
    "another encoding": (
        people(HEADER.encode() + "user_1,a@example.com,Zoë\n".encode("latin-1")),
        ("people.csv:2:", "UTF-8"),
    ),
}


@pytest.mark.parametrize(("spoil", "words"), CAMPAIGN_FILE.values(), ids=CAMPAIGN_FILE)
def test_a_wrong_campaign_file_is_told_by_its_line(tmp_path: Path, spoil: Spoil, words: tuple[str, ...]) -> None:
    """An invalid campaign file gives one error with its line, and neither a server nor the log is touched."""
    with environment(tmp_path) as env:
        spoil(env.work)
        refused(env.work.run(), *words)
        assert env.silent
        assert not env.work.log.exists()


@pytest.mark.parametrize(("spoil", "words"), TEMPLATE.values(), ids=TEMPLATE)
def test_a_wrong_template_is_told_by_file_line_and_row(tmp_path: Path, spoil: Spoil, words: tuple[str, ...]) -> None:
    """If one row cannot be rendered, the campaign stops before the first token, and no log is created."""
    with environment(tmp_path) as env:
        spoil(env.work)
        refused(env.work.run(), *words)
        assert env.silent
        assert list(tmp_path.glob("send-log.db*")) == []


@pytest.mark.parametrize(("spoil", "words"), CSV.values(), ids=CSV)
def test_a_csv_that_cannot_be_trusted_is_refused(tmp_path: Path, spoil: Spoil, words: tuple[str, ...]) -> None:
    """An invalid CSV gives an error with file and line, and no log is created."""
    with environment(tmp_path) as env:
        spoil(env.work)
        refused(env.work.run(), *words)
        assert env.silent
        assert list(tmp_path.glob("send-log.db*")) == []


@pytest.mark.parametrize(
    "command", [("retry",), ("resolve", "--keep"), ("resolve", "--resend"), ("revoke", "--yes")], ids=" ".join
)
def test_a_decision_about_nobody_makes_no_log(tmp_path: Path, command: tuple[str, ...]) -> None:
    """An operator's command before the first run finds nothing to do, and creates no log."""
    with environment(tmp_path) as env:
        done = env.work.campaign(*command, "campaign.toml")
        assert (done.returncode, done.stderr) == (0, "")
        assert list(tmp_path.glob("send-log.db*")) == []


def test_an_empty_file_that_was_there_stays(tmp_path: Path) -> None:
    """An empty file that existed before is not deleted, although no recipient was enlisted in it."""
    with environment(tmp_path) as env:
        env.work.log.touch()
        people("")(env.work)
        refused(env.work.run(), "people.csv")
        assert env.work.log.exists()


def test_what_was_sent_stays_known_when_the_input_breaks(tmp_path: Path) -> None:
    """If the input becomes invalid after a run, the log's rows and history stay unchanged."""
    with environment(tmp_path) as env:
        work = env.work
        assert work.run("--limit", "1").returncode == 0
        good = (work.folder / "people.csv").read_bytes()
        before = [table_of(work.log, name) for name in ("delivery", "history", "revocation", "orphan")]
        for content in ("", good.decode() + 'user_9,z@example.com,"open\n', "user_id,mail\n1,2\n"):
            people(content)(work)
            refused(work.run(), "people.csv")
        (work.folder / "people.csv").write_bytes(good)
        text_part("{{ nobody }}")(work)
        refused(work.run(), "email.txt:2:", "nobody")
        assert [table_of(work.log, name) for name in ("delivery", "history", "revocation", "orphan")] == before
        assert len(env.accepted) == len(env.tokens) == 1


def test_recipients_names_the_csv_that_is_missing(tmp_path: Path) -> None:
    """The CSV of `--recipients` is relative to the working directory, and the error names it as it was typed."""
    with environment(tmp_path) as env:
        refused(env.work.run("--recipients", "nobody.csv"), "nobody.csv: this file does not exist")
        assert env.silent


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("preview", "campaign.toml", "--email", "nobody@example.com"), ("people.csv", "nobody@example.com")),
        (("test", "campaign.toml", "--to", "nobody"), ("--to nobody", "@")),
        (("test", "campaign.toml", "--to", "a@example.com, b@example.com"), ("--to",)),
        (("status", "campaign.toml"), ("does not exist yet", "campaign run")),
        (("log", "campaign.toml"), ("does not exist yet", "campaign run")),
    ],
    ids=" ".join,
)
def test_a_command_with_nothing_to_work_on_says_so(
    tmp_path: Path, command: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """A command that names something which does not exist ends with an error and exit 2, and creates no log."""
    with environment(tmp_path) as env:
        refused(env.work.campaign(*command), *words)
        assert env.silent
        assert not env.work.log.exists()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("rcpt", Reply("550 5.1.1 No such user")), ("550 5.1.1", "Nothing was sent", "--to")),
        (Fault("rcpt", Reply("451 4.7.1 Later")), ("451 4.7.1", "Nothing was sent", "run the same command again")),
        (Fault("dot", Drop(done=True)), ("It may have been sent", "look into the inbox")),
    ],
    ids=["refused", "deferred", "lost"],
)
def test_a_test_mail_that_goes_wrong_says_what_next(tmp_path: Path, fault: Fault, words: tuple[str, ...]) -> None:
    """If a test mail is not accepted, `test` prints the server's words and what to do next, and exits 1."""
    with environment(tmp_path, smtp=SmtpScript(faults=(fault,))) as env:
        refused(env.work.campaign("test", "campaign.toml", "--to", "me@acme.example"), *words, code=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("run", "campaign.toml", "--limit", "0"), "--limit"),
        (("run",), "FILE"),
        (("rum", "campaign.toml"), "rum"),
        (("log", "campaign.toml", "--state", "gone"), "--state"),
        (("resolve", "campaign.toml"), "--keep"),
        (("test", "campaign.toml"), "--to"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_command_that_is_none_is_answered_with_its_usage(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    """A mistyped command or option gives the usage and exit 2."""
    with environment(tmp_path) as env:
        done = env.work.campaign(*options)
        assert done.returncode == 2
        assert "Usage: campaign" in done.stderr
        assert words in done.stderr
        assert env.silent


def test_without_a_sandbox_yet_the_log_is_missing_not_the_folder(tmp_path: Path) -> None:
    """Before the first run `status` and `log` say that there is no send log yet, and create nothing."""
    work = stranger_to(tmp_path)
    for command in ("status", "log"):
        refused(work.campaign(command, "campaign.toml"), "does not exist yet", "campaign run")
    assert not (tmp_path / ".campaign").exists()


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """If the port of `sandbox --port` is in use, the error names the port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        refused(stranger_to(tmp_path).campaign("sandbox", "--port", port), f"127.0.0.1:{port} is in use", "--port")


def test_check_tells_all_problems_at_once(tmp_path: Path) -> None:
    """`check` lists all problems of templates and rows at once, with exit 2 and without a request to any server."""
    with environment(tmp_path, 30) as env:
        text_part("{{ place }}")(env.work)
        (env.work.folder / "email.html").write_text("<p>\n{% if %}</p>", encoding="utf-8")
        done = env.work.campaign("check", "campaign.toml")
        assert done.returncode == 2
        assert "email.html:2:" in done.stdout
        (env.work.folder / "email.html").write_text('<a href="{{ link }}">Go</a>', encoding="utf-8")
        done = env.work.campaign("check", "campaign.toml")
        assert done.returncode == 2
        assert "people.csv:2: email.txt:2:" in done.stdout
        assert done.stdout.count("email.txt:2:") == 1
        assert "(30 rows: lines 2, 3, 4, …)" in done.stdout
        assert_no_fault(done.stdout + done.stderr)
        assert env.silent
        assert not env.work.log.exists()


def test_a_log_of_another_campaign_is_not_mixed_up(tmp_path: Path) -> None:
    """If the send log does not contain the campaign, `log` names the campaigns that it contains."""
    with environment(tmp_path, link=False) as env:
        assert env.work.run().returncode == 0
        campaign('name = "trial"', 'name = "another"')(env.work)
        refused(env.work.campaign("log", "campaign.toml"), "'another'", "trial")
        with sqlite3.connect(env.work.log) as log:
            assert log.execute("SELECT count(*) FROM campaign").fetchone() == (1,)
        log.close()
