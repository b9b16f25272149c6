"""Whole runs against servers on sockets: many mails, a kill in the middle, lookup of ids, grouped rows."""

from __future__ import annotations

import csv
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.environment import environment, wait_for
from support.servers.clerk_script import ClerkScript, Users

if TYPE_CHECKING:
    from pathlib import Path

#: Enough for a kill in the middle.
SOME = 300
#: Only the machine limits the rate; the default for a test key would be ten tokens a second.
FAST = '[limits]\ntokens = "100000/second"\nconnections = 10\n'


@pytest.mark.parametrize("many", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_everybody_gets_their_own_link(tmp_path: Path, many: int) -> None:
    """A run makes a token and sends a mail for each recipient, with its own user's live token."""
    with environment(tmp_path, many, more=FAST) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        epilogue = time.monotonic()
        assert env.work.run().returncode == 0
        assert len(env.tokens) == len(env.accepted) == many
        assert not env.revoked
        verdict = env.verdict(connections=10, epilogue=epilogue)
        assert verdict.holds, verdict.table()
        assert verdict.states["sent"] == many


@pytest.mark.long
def test_a_run_that_is_killed_mails_nobody_twice(tmp_path: Path) -> None:
    """After `kill -9` in the middle the next run sends the rest, and no recipient gets a second mail or a dead link."""
    with environment(tmp_path, SOME, more=FAST) as env:
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.accepted) > SOME / 2, process, every=0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert SOME / 2 < len(env.accepted) < SOME
        done = env.work.run()
        assert done.stderr == ""
        assert "may or may not have been sent" in done.stdout or done.returncode == 0
        epilogue = time.monotonic()
        env.work.run()
        assert len(set(env.mailed)) == len(env.mailed)
        verdict = env.verdict(connections=10, epilogue=epilogue)
        assert verdict.holds, verdict.table()
        assert verdict.states["sent"] + verdict.states["uncertain"] == SOME
        assert verdict.states["uncertain"] <= 2 * 10, "no more than what ten connections had on the wire"
        assert done.returncode == (1 if verdict.states["uncertain"] else 0)


def test_users_are_found_by_their_address(tmp_path: Path) -> None:
    """With `lookup = "email"` users are looked up by address, a hundred per call, and unknown ones are skipped."""
    people = [{"email": f"u{number}@d0.example", "first_name": f"Name {number}"} for number in range(150)]
    people[7]["email"] = "U7@D0.example"
    directory = tmp_path / "directory.csv"
    with directory.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "email"])
        writer.writerows([f"user_{number}", f"u{number}@d0.example"] for number in range(150) if number != 11)
    clerk = ClerkScript(users=Users(csv=str(directory), banned=("user_12",)))
    with environment(tmp_path, people, clerk=clerk, recipients='lookup = "email"', more=FAST) as env:
        done = env.work.run()
        assert done.returncode == 0, done.stdout
        assert len([event for event in env.clerk.events("request") if event["stage"] == "users"]) == 2
        owner = {token["token"]: token["user_id"] for token in env.tokens}
        assert len(owner) == len(env.accepted) == 148
        for event in env.accepted:
            assert owner[event["tokens"][0]] == "user_" + event["rcpt"][0].lower().partition("@")[0].removeprefix("u")
        rows = {row["email"].lower(): row for row in env.work.rows()}
        assert rows["u11@d0.example"]["state"] == rows["u12@d0.example"]["state"] == "skipped"
        assert "banned" in rows["u12@d0.example"]["reason"]
        assert rows["u7@d0.example"]["state"] == "sent"


def test_rows_of_one_cart_become_one_mail(tmp_path: Path) -> None:
    """Rows that share a key become one recipient with a list of items, and a group with a contradiction is skipped."""
    rows = [
        ("c1", "user_1", "ada@example.com", "Mug", "2"),
        ("c2", "user_2", "bo@example.com", "Lamp", "1"),
        ("c1", "user_1", "ada@example.com", "Board, oak", "1"),
        ("c3", "user_3", "cy@example.com", "Chair", "1"),
        ("c3", "user_3", "other@example.com", "Table", "1"),
    ]
    people = [dict(zip(("cart_id", "user_id", "email", "item", "number"), row, strict=True)) for row in rows]
    with environment(
        tmp_path,
        people,
        recipients='key = "cart_id"\ngroup = "items"',
        html='{% for row in items %}<p>{{ row.item }} x {{ row.number }}</p>{% endfor %}<a href="{{ link }}">Go</a>',
        text=None,
    ) as env:
        env.work.file.write_text(
            env.work.file.read_text("utf-8").replace("Hello {{ first_name }}", "{{ items | length }} in {{ cart_id }}"),
            "utf-8",
        )
        shown = env.work.campaign("preview", "campaign.toml")
        assert "Subject: 2 in c1" in shown.stdout
        assert [line for line in shown.stdout.splitlines() if " x " in line] == ["Mug x 2", "Board, oak x 1"]
        done = env.work.run()
        assert done.returncode == 0, done.stderr
        assert env.mailed == ["ada@example.com", "bo@example.com"]
        assert sorted(token["user_id"] for token in env.tokens) == ["user_1", "user_2"]
        states = {row["key"]: row for row in env.work.rows()}
        assert states["c3"]["state"] == "skipped"
        assert "have the same key, but different addresses" in states["c3"]["reason"]


def test_nobody_gets_a_link_into_another_account(tmp_path: Path) -> None:
    """A row whose user id and address do not belong together is skipped before a token is requested."""
    directory = tmp_path / "directory.csv"
    directory.write_text("user_id,email\nuser_admin,admin@acme.example\nuser_1,ada@example.com\n", encoding="utf-8")
    people = [
        {"user_id": "user_admin", "email": "mallory@example.com", "first_name": "Mallory"},
        {"user_id": "user_1", "email": "Ada@Example.com", "first_name": "Ada"},
    ]
    with environment(tmp_path, people, clerk=ClerkScript(users=Users(csv=str(directory)))) as env:
        assert env.work.run().returncode == 0
        assert [token["user_id"] for token in env.tokens] == ["user_1"]
        assert env.mailed == ["Ada@example.com"]
        assert [row["state"] for row in env.work.rows()] == ["skipped", "sent"]
