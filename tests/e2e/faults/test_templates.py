"""Faults of templates and data: found before the first token, and data stays data."""

from __future__ import annotations

import csv
import json
import os
import socket
from email import message_from_bytes
from email.policy import SMTP
from html import unescape
from typing import TYPE_CHECKING

import pytest

from support.environment import environment, wait_for
from support.no_fault import assert_no_fault
from support.refusals import refused, stranger_to, table_of
from support.servers.script import Delay, Fault
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

HTML = '<p>Hello</p><p><a href="{{ link }}">Sign in</a></p>'
TEXT = "Hello\n\n{{ link }}\n"

#: The HTML, the text, and the file and line that the error names.
BROKEN = {
    "an undefined variable": (HTML, TEXT + "{{ plaice }}", "people.csv:2: email.txt:4:"),
    "wrong syntax": (HTML + "\n{% if %}", TEXT, "email.html:2:"),
    "a missing template": (HTML + "\n{% include 'footer.html' %}", TEXT, "email.html:2:"),
    "an error at the last row": (
        HTML,
        TEXT + '{% if user_id == "user_9" %}{{ place }}{% endif %}',
        "people.csv:11: email.txt:4:",
    ),
    "an unknown filter": (HTML, TEXT + "{{ first_name | shout }}", "email.txt:4:"),
}

#: The beginning of the sentence about a filter in the text template.
PRINTED = "email.txt:1: The sign-in link must be printed as it is: "

LOST = {
    "not in the HTML": ("<p>Hello</p>", TEXT, "email.html: The sign-in link is missing"),
    "not in the text": (HTML, "Hello", "email.txt: The sign-in link is missing"),
    "not in the last row's": (HTML, TEXT.replace("{{", '{% if user_id != "user_9" %}{{') + "{% endif %}", "csv:11: em"),
    "in capitals": (
        HTML,
        "{{ link | upper }}",
        PRINTED + "the filter upper",
    ),
    "in small letters": (
        HTML,
        "{{ link | lower }}",
        PRINTED + "the filter lower",
    ),
    "cut short": (
        HTML,
        "{{ link | truncate }}",
        PRINTED + "the filter truncate",
    ),
    "folded": (
        HTML,
        "{{ link | wordwrap(79) }}",
        PRINTED + "the filter wordwrap",
    ),
    "escaped": (
        HTML,
        "{{ link | urlencode }}",
        PRINTED + "the filter urlencode",
    ),
    "run together with a word": (HTML, "{{ link }}or call us", "email.txt: The sign-in link is followed by 'or'"),
    "longer than it is": (
        HTML.replace("}}", "}}{{ user_id }}"),
        TEXT,
        "email.html: The sign-in link is followed by 'user_'",
    ),
    "altered": (
        """<a href="{{ link | replace('e', 'E') }}">Go</a>""",
        TEXT,
        "email.html:1: The sign-in link must be printed",
    ),
}


@pytest.mark.parametrize("what", [*BROKEN, *LOST])
def test_what_would_break_a_mail_is_found_first(what: str, tmp_path: Path) -> None:
    """If a template cannot render some row or loses the link, nothing is sent; the error names file, line and row."""
    html, text, words = (BROKEN | LOST)[what]
    with environment(tmp_path, 10, html=html, text=text) as env:
        refused(env.work.run(), words)
        assert env.silent
        assert table_of(env.work.log, "delivery") == []
        checked = env.work.campaign("check", "campaign.toml")
        assert (checked.returncode, words in checked.stdout) == (2, True)


@pytest.mark.parametrize("where", ["text", "subject"])
def test_a_mistake_in_a_template_is_said_once(where: str, tmp_path: Path) -> None:
    """What a template does wrong in every row is one line, with the number of rows and the first lines."""
    with environment(tmp_path, 20, text=TEXT + "{{ plaice }}" if where == "text" else TEXT) as env:
        if where == "subject":
            env.work.file.write_text(env.work.file.read_text("utf-8").replace("first_name", "plaice"), "utf-8")
        sentence = refused(env.work.run(), "people.csv:2: ", "plaice does not exist", "(20 rows: lines 2, 3, 4, …)")
        assert sentence.count("plaice") == 1
        checked = env.work.campaign("check", "campaign.toml")
        assert (checked.returncode, checked.stdout.count("plaice")) == (2, 1)
        assert "(20 rows: lines 2, 3, 4, …)" in checked.stdout
        assert "1 problem; fix" in checked.stdout


def test_one_rows_values_cost_that_row_alone(tmp_path: Path) -> None:
    """A row whose values make its mail impossible is skipped with the reason, and all others are mailed."""
    people = [
        {"user_id": f"user_{n}", "email": f"u{n}@d.example", "first_name": f"N{n}"}
        | {"price": "2", "cart": "1", "site": "https://x.example/"}
        for n in range(30)
    ]
    wrong = {
        20: ("first_name", "x" * 5000, "The subject has 5006 characters"),
        21: ("price", "1,234.50", "email.txt:3: '1,234.50' is not a plain number"),
        22: ("price", "0", "email.txt:3: "),
        23: ("cart", "a b;c", "email.txt:4: The link 'https://acme.example/a b;c' contains spaces"),
        24: ("site", "javascript:1", "email.html:1: 'javascript:1' is not an address that a mail can link to"),
        25: ("first_name", "a" * 100_000, "email.txt:5: The text would have more than 10,000,000 characters"),
    }
    for row, (column, value, _) in wrong.items():
        people[row][column] = value
    html = f'<a href="{{{{ site }}}}">x</a>{HTML}'
    text = (
        "{{ link }}\n\n{{ 10 // (price | number) }}\n{{ link_to('https://acme.example/' ~ cart) }}\n"
        "{% if first_name | length > 9999 %}{{ first_name * 200 }}{% endif %}\n"
    )
    more = '[limits]\ntokens = "1000/second"\n'
    with environment(tmp_path, people, html=html, text=text, more=more) as env:
        subject = env.work.file.read_text("utf-8").replace("{{ first_name }}", "{{ first_name[:5000] }}")
        env.work.file.write_text(subject, "utf-8")
        checked = env.work.campaign("check", "campaign.toml")
        assert checked.returncode == 0, checked.stdout
        assert "24 emails can be rendered, 6 rows skipped" in checked.stdout
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        assert len(env.accepted) == len(env.tokens) == 24
        skipped = {row["key"]: row["reason"] for row in env.work.rows() if row["state"] == "skipped"}
        assert set(skipped) == {f"user_{row}" for row in wrong}
        for row, (_, _, reason) in wrong.items():
            assert reason in skipped[f"user_{row}"]
            assert f"people.csv:{row + 2}: skipped: " in checked.stdout


@pytest.mark.parametrize(
    "bomb",
    [
        '{{ "a" * 10**9 }}',
        pytest.param(
            "{% for i in range(9999) %}{% for j in range(999) %}{% endfor %}{% endfor %}", marks=pytest.mark.long
        ),
    ],
)
def test_a_template_bomb_is_named_by_its_line(bomb: str, tmp_path: Path) -> None:
    """A template that would fill the memory or take hours stops `check` and `run` at once, with its line."""
    with environment(tmp_path, 10, text=TEXT + bomb) as env:
        for command in ("check", "run"):
            done = env.work.campaign(command, "campaign.toml", *(["--yes"] if command == "run" else []), timeout=60)
            assert done.returncode == 2
            assert "people.csv:2: email.txt:4: " in done.stdout + done.stderr
            assert_no_fault(done.stderr)
        assert env.silent


def test_css_that_cannot_be_inlined_names_the_template_and_the_row(tmp_path: Path) -> None:
    """If a row's values make invalid CSS, only this row is skipped, with the template and its line."""
    style = "color{% if user_id != 'user_9' %}: red{% endif %}"
    html = f'<style>p {{ margin: 0 }}</style><p style="{style}">Hello</p>{HTML}'
    with environment(tmp_path, 10, html=html) as env:
        checked = env.work.campaign("check", "campaign.toml")
        assert checked.returncode == 0
        assert "people.csv:11: skipped: email.html: The CSS cannot be inlined" in checked.stdout
        assert env.silent
        assert env.work.run().returncode == 0
        assert env.work.status()["sent"] == 9
        (skipped,) = [row for row in env.work.rows() if row["state"] == "skipped"]
        assert skipped["reason"].startswith("line 11: email.html: The CSS cannot be inlined")
        assert len(env.revoked) == 1


def test_nothing_that_a_template_names_is_fetched(tmp_path: Path) -> None:
    """Stylesheets, imports and images by URL are never fetched by check, preview, test or run."""
    os.mkfifo(tmp_path / "endless.css")  # opening this pipe to read it would block for ever
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        web = f"http://127.0.0.1:{listener.getsockname()[1]}"
        named = "".join(
            f'<link rel="stylesheet" href="{place}">'
            f"<style>@import url('{place}'); p {{ background: url({place}); margin: 0 }}</style>"
            f'<img src="{place}" alt="x">'
            for place in (f"{web}/a.css", f"file://{tmp_path}/endless.css", "endless.css")
        )
        for text in (TEXT, None):
            with environment(
                tmp_path, 2, html=f"<html><head>{named}</head><body>{HTML}</body></html>", text=text
            ) as env:
                for command in (
                    ("check", "campaign.toml"),
                    ("preview", "campaign.toml"),
                    ("test", "campaign.toml", "--to", "me@acme.example"),
                    ("run", "campaign.toml", "--yes"),
                ):
                    done = env.work.campaign(*command, timeout=30)
                    assert done.returncode == 0, (command, done.stdout, done.stderr)
                assert len(env.accepted) >= 2
            for file in tmp_path.glob("send-log.db*"):
                file.unlink()
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_template_edited_during_a_run(tmp_path: Path) -> None:
    """Templates are read once: an edit during a run changes no mail of it, and the next run reports the change."""
    slow = SmtpScript(faults=(Fault("dot", Delay(0.05)),))
    with environment(tmp_path, 20, smtp=slow, more='[limits]\nconnections = 2\ntokens = "1000/second"\n') as env:
        process = env.work.start("run", "campaign.toml", "--yes", "--limit", "10")
        wait_for(lambda: env.accepted, process)
        (tmp_path / "email.html").write_text(HTML + "<p>" + "One thing more. " * 100 + "</p>", encoding="utf-8")
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")
        assert "The templates changed" not in out
        assert max(event["size"] for event in env.accepted) < 1600
        again = env.work.run()
        assert (again.returncode, again.stderr) == (0, "")
        assert "\nThe templates changed since the last run" in again.stdout
        assert min(event["size"] for event in env.accepted[10:]) > 1600
        assert len(env.accepted) == 20


HOSTILE = {
    "markup": "<script>alert(1)</script><b>&amp;\"'",
    "a formula": '=HYPERLINK("http://evil.example","x")',
    "a header break": "Ada\r\nBcc: eve@evil.example\r\n\r\nHello",
    "an encoded word": "=?utf-8?q?=0d=0aBcc:_eve@evil.example?= Ada",
    "a template": "{{ link }}{% raw %}{{ 7 * 7 }}{# no #}",
    "a boundary": "Ada\n--=_0123456789abcdef\nContent-Type: text/html\n\n<b>",
    "a dot": "Ada\n.\nQUIT",
    "an address": "Ada <eve@evil.example>, x@evil.example",
    "a long word": "x" * 1200,
}  # fmt: skip


def test_data_is_text_and_nothing_else(tmp_path: Path) -> None:
    """Markup, formulas, header breaks, encoded words and template syntax in data arrive as plain text."""
    work = stranger_to(tmp_path)
    people = [
        {"user_id": f"user_{n}", "email": f"u{n}@example.com", "first_name": f"N{n}", "note": note}
        for n, note in enumerate(HOSTILE.values())
    ]
    html = '<p title="{{ note }}">{{ note }}</p><p><a href="{{ link }}">Go</a></p>'
    work.write(people, html=html, text="{{ note }}\n\n{{ link }}\n")
    work.file.write_text(
        work.file.read_text("utf-8").replace("Hello {{ first_name }}", "Hello {{ note[:200] }}"), "utf-8"
    )
    done = work.campaign("run", "campaign.toml")
    assert (done.returncode, done.stderr) == (0, "")
    mails = [message_from_bytes(file.read_bytes(), policy=SMTP) for file in (tmp_path / ".campaign/mail/new").iterdir()]
    found = {mail["To"].addresses[0].addr_spec: mail for mail in mails}
    assert len(found) == len(mails) == len(people)
    for person in people:
        mail, note = found[person["email"]], person["note"]
        wanted = ["From", "To", "Subject", "Date", "Message-ID", "List-Id", "Auto-Submitted"]
        wanted += ["MIME-Version", "Content-Type"]
        ours = [name for name in mail if not name.startswith(("X-", "Return-", "Delivered-", "Received"))]
        assert [name for name in ours if name != "Content-Transfer-Encoding"] == wanted
        assert mail["Subject"].split() == f"Hello {note[:200]}".split()
        text, html = (part.get_content().replace("\r\n", "\n") for part in mail.iter_parts())
        assert text.startswith(note.replace("\r\n", "\n"))
        assert unescape(html).count(note.replace("\r\n", "\n")) == 2
        assert html.count("<") == 6


def test_data_is_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    """A key that looks like a spreadsheet formula is text in `campaign log`, and unchanged in its JSON."""
    people = [{"user_id": "user_0", "email": "u0@d0.example", "first_name": "Ada", "cart": "=1+1"}]
    with environment(tmp_path, people, recipients='key = "cart"') as env:
        assert env.work.run().returncode == 0
        (row,) = csv.DictReader(env.work.campaign("log", "campaign.toml").stdout.splitlines())
        assert row["key"] == "'=1+1"
        assert json.loads(env.work.campaign("log", "campaign.toml", "--format", "jsonl").stdout)["key"] == "=1+1"
