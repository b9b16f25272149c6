"""The commands run, check, preview, test, status and log. The operator's commands are tested elsewhere."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from support.environment import environment
from support.no_fault import assert_no_fault
from support.refusals import refused
from support.servers.clerk_script import ClerkScript, Users
from support.servers.script import Fault, Reply
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

STATES = ["queued", "issuing", "sending", "sent", "failed", "uncertain", "skipped", "bounced"]
#: What `status --json` says besides the counts.
PARTS = ["waiting", "next_due", "quota", "steps", "reading", "batches", "moved_to"]
FIELDS = [
    "key", "user_id", "email", "state", "reason", "attempts", "message_id", "token_id", "code", "reply", "updated_at",
    "step", "batch", "due_at", "waiting", "not_before",
]  # fmt: skip
BOUNCES = Fault("rcpt", Reply("550 5.1.1 No such user here"), to="u1@*")
SOON = '[retry]\nfirst_delay = "100ms"\n'


def test_run_mails_everybody_once(tmp_path: Path) -> None:
    """`run` sends each recipient one mail with their own token and exits 0; a second run has nothing to do."""
    with environment(tmp_path, 5) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        assert env.mailed == [f"u{number}@d{number}.example" for number in range(5)]
        users = {token["token"]: token["user_id"] for token in env.tokens}
        assert len(users) == 5
        for event in env.accepted:
            (token,) = event["tokens"]
            assert event["rcpt"][0].startswith(users[token].replace("user_", "u"))
        heard = len(env.smtp.events()), len(env.clerk.events())
        again = env.work.run()
        assert again.returncode == 0
        assert "nothing to send" in again.stdout
        assert (len(env.smtp.events()), len(env.clerk.events())) == heard


def test_run_says_what_it_is_about_to_do_and_what_became_of_it(tmp_path: Path) -> None:
    """`run` first prints number, sender and server, and at the end every state, its reason and the next command."""
    with environment(tmp_path, smtp=SmtpScript(faults=(BOUNCES,))) as env:
        done = env.work.run()
        assert done.returncode == 1
        assert f"trial: 3 emails from Acme <hello@acme.example> through 127.0.0.1:{env.smtp.port}." in done.stdout
        assert "550 5.1.1 No such user here" in done.stdout
        assert "campaign retry campaign.toml" in done.stdout
        table = [line.split()[:2] for line in done.stdout.splitlines()]
        assert ["sent", "2"] in table
        assert ["failed", "1"] in table
        assert ["recipients", "3"] in table


def test_limit_claims_no_more_than_it_says(tmp_path: Path) -> None:
    """`run --limit n` names n mails, sends n and requests n tokens, leaves the other recipients queued and exits 0."""
    with environment(tmp_path, 5) as env:
        done = env.work.run("--limit", "2")
        assert done.returncode == 0
        assert "trial: 2 of 5 emails from Acme" in done.stdout
        assert "Waiting: 3 for a later batch. To send what is due: campaign run campaign.toml --limit 2" in done.stdout
        assert len(env.accepted) == len(env.tokens) == 2
        status = env.work.status()
        assert {name: status[name] for name in status if name not in PARTS} == {
            "campaign": "trial",
            "recipients": 5,
            **dict.fromkeys(STATES, 0),
            "queued": 3,
            "sent": 2,
        }
        assert env.work.run().returncode == 0
        assert len(set(env.mailed)) == len(env.mailed) == 5


def test_the_hint_to_go_on_repeats_the_options(tmp_path: Path) -> None:
    """The command to go on has the options of this run, so that it does the same again."""
    with environment(tmp_path, 5) as env:
        env.work.write_people(4, "batch one.csv")
        done = env.work.run("--recipients", "batch one.csv", "--limit", "2", "--no-wait", "--log-format", "json")
        again = "campaign.toml --recipients 'batch one.csv' --limit 2 --no-wait --log-format json --yes"
        assert f"Waiting: 2 for a later batch. To send what is due: campaign run {again}." in done.stdout


def test_fresh_is_for_the_sandbox_only(tmp_path: Path) -> None:
    """A run for real refuses `--fresh`, and the send log stays."""
    with environment(tmp_path) as env:
        assert env.work.run().returncode == 0
        refused(env.work.run("--fresh"), "--fresh", "sandbox")
        assert env.work.status()["sent"] == len(env.accepted) == 3


def test_recipients_takes_another_csv_and_leaves_the_others_queued(tmp_path: Path) -> None:
    """A run sends only to recipients of its CSV; others stay queued, are counted, and do not change the exit code."""
    with environment(tmp_path, 5) as env:
        rows = list(csv.DictReader(io.StringIO((tmp_path / "people.csv").read_text("utf-8"))))
        assert env.work.run("--limit", "1").returncode == 0
        env.work.write_people(rows[:3], "batch.csv")
        done = env.work.run("--recipients", "batch.csv")
        assert done.returncode == 0
        assert "2 recipients" in done.stdout
        assert "earlier CSV" in done.stdout
        assert env.mailed == ["u0@d0.example", "u1@d1.example", "u2@d2.example"]
        assert env.work.status()["queued"] == 2
        assert env.work.run().returncode == 0
        assert len(set(env.mailed)) == len(env.mailed) == 5


def test_run_waits_for_the_next_try_unless_told_not_to(tmp_path: Path) -> None:
    """A postponed recipient is retried within the run; with `--no-wait` the run ends and leaves the row queued."""
    greylisting = SmtpScript(faults=(Fault("rcpt", Reply("451 4.7.1 Greylisted"), per="recipient", times=2),))
    with environment(tmp_path, 2, smtp=greylisting, more='[retry]\nfirst_delay = "5s"\n') as env:
        done = env.work.run("--no-wait")
        assert done.returncode == 1
        assert env.work.status()["queued"] == 2
        assert not env.accepted
        assert env.revoked == {token["id"] for token in env.tokens}
        for row in env.work.rows():
            assert (row["code"], row["reply"], row["attempts"]) == (451, "4.7.1 Greylisted", 1)
    patient = tmp_path / "patient"
    patient.mkdir()
    with environment(patient, 2, smtp=greylisting, more=SOON) as env:
        done = env.work.run()
        assert done.returncode == 0, done.stdout
        assert sorted(row["attempts"] for row in env.work.rows()) == [3, 3]
        assert len(env.mailed) == 2


def test_check_renders_every_row_and_asks_nobody(tmp_path: Path) -> None:
    """`check` exits 0 with warnings (no rate, lines of skipped rows), sends no request and creates nothing."""
    people = [
        {"user_id": "user_0", "email": "u0@d0.example", "first_name": "Zero"},
        {"user_id": "user_1", "email": "nobody", "first_name": "One"},
        {"user_id": "user_0", "email": "u0@d0.example", "first_name": "Zero"},
        {"user_id": "user_3", "email": "U0@d0.example", "first_name": "Three"},
    ]
    with environment(tmp_path, people) as env:
        before = sorted(tmp_path.iterdir())
        done = env.work.campaign("check", "campaign.toml")
        assert (done.returncode, done.stderr) == (0, "")
        *lines, templates, _ = done.stdout.splitlines()
        assert templates == "templates: email.html, email.txt"
        warnings = [line.partition("warning: ")[2] for line in lines]
        assert [line.split(": ")[0] for line in warnings] == [
            "campaign.toml",
            "campaign.toml",
            "people.csv:5",
            "people.csv:3",
            "people.csv:4",
        ]
        assert "[limits] messages" in warnings[0]
        assert "no unsubscribe link" in warnings[1]
        assert "2 emails can be rendered, 2 rows skipped" in done.stdout
        assert env.silent
        assert sorted(tmp_path.iterdir()) == before


def test_preview_shows_headers_and_text_with_a_dummy_token(tmp_path: Path) -> None:
    """`preview` prints decoded headers and the text for the first or the chosen recipient, and sends no request."""
    people = [
        {"user_id": "user_0", "email": "u0@d0.example", "first_name": "Zoë"},
        {"user_id": "user_1", "email": "u1@d0.example", "first_name": "<Bo>"},
    ]
    with environment(tmp_path, people) as env:
        first = env.work.campaign("preview", "campaign.toml")
        assert first.returncode == 0
        headers, _, text = first.stdout.partition("\n\n")
        shown = dict(line.split(": ", 1) for line in headers.splitlines())
        assert (shown["From"], shown["To"]) == ("Acme <hello@acme.example>", "u0@d0.example")
        assert (shown["Subject"], shown["List-Id"]) == ("Hello Zoë", "<trial.acme.example>")
        assert {"Date", "Message-ID"} < shown.keys()
        link = "https://acme.example/welcome?token=dummy-token&hint=u%E2%80%A6%40d0.example"
        assert text.splitlines() == ["Hello Zoë", "", link]
        html = env.work.campaign("preview", "campaign.toml", "--email", "U1@d0.example", "--html")
        assert html.returncode == 0
        assert "Hello &lt;Bo&gt;" in html.stdout
        assert f'href="{link.replace("&", "&amp;")}"' in html.stdout
        assert env.silent
        assert not env.work.log.exists()


def test_test_sends_one_mail_that_signs_nobody_in(tmp_path: Path) -> None:
    """`test --to` sends one real mail with a dummy token to that address only, and does not touch the send log."""
    with environment(tmp_path) as env:
        done = env.work.campaign("test", "campaign.toml", "--to", "me@acme.example")
        assert done.returncode == 0, done.stderr
        assert "dummy" in done.stdout
        (event,) = env.accepted
        assert (event["rcpt"], event["to"], event["tokens"]) == (["me@acme.example"],) * 2 + (["dummy-token"],)
        assert not env.clerk.events()
        assert not env.work.log.exists()


def test_test_with_a_user_id_carries_that_users_token(tmp_path: Path) -> None:
    """`test --to --user-id` requests one token of that user, with the campaign's lifetime, and refuses a wrong user."""
    with environment(tmp_path, clerk=ClerkScript(users=Users(unknown=("user_2",)))) as env:
        done = env.work.campaign("test", "campaign.toml", "--to", "me@acme.example", "--user-id", "user_1")
        assert done.returncode == 0, done.stderr
        (token,) = env.tokens
        assert (token["user_id"], token["seconds"]) == ("user_1", 48 * 3600)
        assert env.accepted[0]["tokens"] == [token["token"]]
        assert token["token"] not in done.stdout + done.stderr
        stranger = env.work.campaign("test", "campaign.toml", "--to", "me@acme.example", "--user-id", "user_2")
        assert stranger.returncode != 0
        assert_no_fault(stranger.stderr)
        assert len(env.accepted) == 1


def test_status_prints_exactly_these_keys(tmp_path: Path) -> None:
    """`status --json` prints one object per campaign with its name, the number of recipients and each state's count."""
    with environment(tmp_path, smtp=SmtpScript(faults=(BOUNCES,))) as env:
        assert env.work.run().returncode == 1
        done = env.work.campaign("status", "campaign.toml", "--json")
        assert done.returncode == 0
        status = json.loads(done.stdout)
        assert list(status) == ["campaign", "recipients", *STATES, *PARTS]
        (batch,) = status["batches"]
        assert datetime.fromisoformat(batch.pop("at"))
        assert status == {
            "campaign": "trial",
            "recipients": 3,
            **dict.fromkeys(STATES, 0),
            "sent": 2,
            "failed": 1,
            "waiting": {},
            "next_due": None,
            "quota": None,
            "steps": {},
            "reading": False,
            "batches": [{"number": 1, "size": 3, "sent": 2, "failed": 1}],
            "moved_to": None,
        }
        env.work.write(1, link=False)
        env.work.file.write_text(env.work.file.read_text("utf-8").replace('"trial"', '"second"'), "utf-8")
        assert env.work.run().returncode == 0
        both = [json.loads(line) for line in env.work.campaign("status", "--json").stdout.splitlines()]
        assert [(one["campaign"], one["recipients"]) for one in both] == [("second", 1), ("trial", 3)]
        shown = env.work.campaign("status")
        assert shown.returncode == 0
        assert "550 5.1.1 No such user here" in shown.stdout


def test_log_prints_a_record_for_each_recipient(tmp_path: Path) -> None:
    """`log --format jsonl` prints exactly the documented fields, in the order of the CSV, with the server's words."""
    with environment(tmp_path, smtp=SmtpScript(faults=(BOUNCES,))) as env:
        env.work.run()
        rows = env.work.rows()
        assert [list(row) for row in rows] == [FIELDS] * 3
        assert [row["key"] for row in rows] == ["user_0", "user_1", "user_2"]
        sent = {event["message_id"]: event["rcpt"][0] for event in env.accepted}
        issued = {token["user_id"]: token["id"] for token in env.tokens}
        for row in (rows[0], rows[2]):
            assert (row["state"], row["code"], sent[row["message_id"]]) == ("sent", 250, row["email"])
            assert row["token_id"] == issued[row["user_id"]]
            assert row["reply"].startswith("2.0.0 Ok: queued as")
        failed = rows[1]
        assert (failed["state"], failed["code"], failed["reply"]) == ("failed", 550, "5.1.1 No such user here")
        assert "550 5.1.1 No such user here" in failed["reason"]
        only = env.work.campaign("log", "campaign.toml", "--format", "jsonl", "--state", "failed")
        assert [json.loads(line) for line in only.stdout.splitlines()] == [failed]


def test_log_as_csv_is_safe_in_a_spreadsheet(tmp_path: Path) -> None:
    """`log` prints CSV in which an apostrophe before = + - @ keeps spreadsheets from reading a cell as a formula."""
    people = [
        {"user_id": "user_0", "email": "+cmd@example.com", "first_name": "A", "id": '=HYPERLINK("x")'},
        {"user_id": "user_1", "email": "u1@d1.example", "first_name": "B", "id": "@SUM(1)"},
        {"user_id": "user_2", "email": "-minus@example.com", "first_name": "C", "id": "-2+3"},
        {"user_id": "user_3", "email": "plain@example.com", "first_name": "D", "id": "+4"},
    ]
    bad_words = SmtpScript(faults=(Fault("rcpt", Reply("550 =cmd|' /C calc'!A0"), to="u1@*"),))
    with environment(tmp_path, people, recipients='key = "id"', smtp=bad_words) as env:
        env.work.run()
        done = env.work.campaign("log", "campaign.toml")
        assert done.returncode == 0
        header, *lines = list(csv.reader(io.StringIO(done.stdout), strict=True))
        assert header == FIELDS
        assert [line[0] for line in lines] == ['\'=HYPERLINK("x")', "'@SUM(1)", "'-2+3", "'+4"]
        assert [line[2] for line in lines] == [
            "'+cmd@example.com",
            "u1@d1.example",
            "'-minus@example.com",
            "plain@example.com",
        ]
        assert lines[1][9] == "'=cmd|' /C calc'!A0"
        assert not any(cell.startswith(("=", "+", "-", "@")) for line in lines for cell in line)


@pytest.mark.parametrize("form", ["csv", pytest.param("jsonl", marks=pytest.mark.long)])
def test_log_into_head_ends_quietly(tmp_path: Path, form: str) -> None:
    """`campaign log FILE | head` prints nothing on stderr and exits 0 when the reader closes the pipe."""
    with environment(tmp_path, 3000, link=False) as env:
        assert env.work.run("--limit", "1").returncode == 0
        command = f"{shlex.quote(sys.executable)} -m campaign log campaign.toml --format {form}"
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command} | head -n 2"],
            cwd=tmp_path,
            env=os.environ | env.work.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(("answer", "sent"), [("y", 0), ("yes", 2)])
def test_a_run_asks_before_it_sends_for_real(answer: str, sent: int, tmp_path: Path) -> None:
    """On a terminal the question names the number, the mail server, Clerk's origin and the log; only `yes` goes on."""
    with environment(tmp_path, 2) as env:
        keyboard, terminal = os.openpty()
        try:
            process = env.work.start("run", "campaign.toml", stdin=terminal)
            os.write(keyboard, f"{answer}\n".encode())
            said, warned = process.communicate(timeout=30)
        finally:
            os.close(keyboard)
            os.close(terminal)
        assert warned == ""
        assert f"The send log {env.work.log} is new." in said
        question = f"Send 2 emails through 127.0.0.1:{env.smtp.port}, with tokens of Clerk at {env.clerk.url}? Type yes"
        assert question in said
        assert len(env.accepted) == len(env.tokens) == sent
        assert process.returncode == (0 if sent else 130)
        assert ("Nothing was sent." in said) == (not sent)


@pytest.mark.parametrize("why", ["no valid row", "no user at Clerk"])
def test_a_run_that_can_mail_nobody_ends_as_wrong_input(why: str, tmp_path: Path) -> None:
    """If every row of the CSV is skipped, the run exits with 2, says so and shows the reasons, each time."""
    people = [{"user_id": f"user_{n}", "email": f"u{n}@d0.example", "first_name": "A"} for n in range(3)]
    clerk = ClerkScript(users=Users(unknown=("user_*",)))
    if why == "no valid row":
        people = [row | {"email": "nobody"} for row in people]
    with environment(tmp_path, people, clerk=clerk) as env:
        for _ in range(2):
            done = env.work.run()
            assert (done.returncode, done.stderr) == (2, "")
            assert "No row of people.csv can be mailed; the table says why." in done.stdout
            assert ("Clerk has no user" if why == "no user at Clerk" else "cannot be mailed") in done.stdout
        assert not env.accepted
        assert not env.tokens
