"""`campaign skip`: a recipient, or those who left the CSV, get nothing more; also while a run is under way."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest

from support.environment import environment, wait_for
from support.refusals import refused
from support.servers.script import Delay, Drop, Fault, Reply
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

    from support.environment import Environment

FEW = '[limits]\nconnections = 1\ntokens = "1000/second"\n'
NUMBER = 20


def row_of(env: Environment, key: str) -> dict[str, object]:
    """Return the log's record of one recipient."""
    return next(row for row in env.work.rows() if row["key"] == key)


def without(env: Environment, *keys: str) -> list[dict[str, str]]:
    """Return the rows of the CSV without these users."""
    rows = csv.DictReader(io.StringIO((env.work.folder / "people.csv").read_text("utf-8")))
    return [row for row in rows if row["user_id"] not in keys]


@pytest.mark.parametrize(
    "link", [True, pytest.param(False, marks=pytest.mark.long)], ids=["with a link", "without a link"]
)
def test_a_recipient_is_skipped_while_a_run_is_under_way(tmp_path: Path, *, link: bool) -> None:
    """`skip --key` beside a run stops the mail of a row that the run has claimed, and the run ends with 0."""
    slow = SmtpScript(faults=(Fault("dot", Delay(0.1)),))
    last = f"user_{NUMBER - 1}"
    with environment(tmp_path, NUMBER, link=link, smtp=slow, more=FEW) as env:
        run = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: env.accepted, run)
        done = env.work.campaign("skip", "campaign.toml", "--key", last, "--reason", "bought on 2026-11-30")
        assert (done.returncode, done.stdout) == (0, f"{last} is skipped and gets no mail of trial.\n")
        said, warned = run.communicate(timeout=60)
        assert (run.returncode, warned) == (0, ""), said
        assert len(env.accepted) == NUMBER - 1
        assert last not in {token["user_id"] for token in env.tokens}
        assert row_of(env, last)["state"] == "skipped"
        assert row_of(env, last)["reason"] == "skipped by hand: bought on 2026-11-30"
        assert "skipped by hand" in said
        assert "nothing to send" in env.work.run().stdout


def test_who_was_skipped_by_hand_stays_skipped(tmp_path: Path) -> None:
    """Neither a changed CSV row nor `retry --state skipped` for all brings it back; `--email` does."""
    with environment(tmp_path) as env:
        env.work.run("--limit", "1")
        assert env.work.campaign("skip", "campaign.toml", "--key", "user_2").returncode == 0
        changed = [row | {"first_name": "New"} for row in without(env)]
        env.work.write_people(changed)
        env.work.run()
        assert env.work.campaign("retry", "campaign.toml", "--state", "skipped").returncode == 0
        assert env.work.run().returncode == 0
        assert env.mailed == ["u0@d0.example", "u1@d1.example"]
        env.work.campaign("retry", "campaign.toml", "--state", "skipped", "--email", "u2@d2.example")
        assert env.work.run().returncode == 0
        assert len(env.accepted) == 3


def test_skip_says_when_it_is_too_late(tmp_path: Path) -> None:
    """A row that was mailed, or perhaps, keeps its state; a failed one is skipped; an unknown key is refused."""
    faults = (Fault("rcpt", Reply("550 5.1.1 No such user"), to="u0@*"), Fault("dot", Drop(done=True), to="u1@*"))
    with environment(tmp_path, smtp=SmtpScript(faults=faults)) as env:
        env.work.run()
        for key, words, state in (
            ("user_0", "is skipped", "skipped"),
            ("user_1", "may have been sent", "uncertain"),
            ("user_2", "the mail was sent", "sent"),
        ):
            done = env.work.campaign("skip", "campaign.toml", "--key", key)
            assert (done.returncode, words in done.stdout) == (0, True), done
            assert row_of(env, key)["state"] == state
        refused(env.work.campaign("skip", "campaign.toml", "--key", "user_9"), "no recipient with the key user_9")
        for options in ((), ("--key", "user_1", "--missing"), ("--missing", "--reason", "x")):
            assert env.work.campaign("skip", "campaign.toml", *options).returncode == 2


def test_who_left_the_csv_can_be_dropped_and_comes_back_with_it(tmp_path: Path) -> None:
    """`skip --missing` skips the queued rows that are not in the CSV now; a CSV that has one again queues it again."""
    with environment(tmp_path, 5) as env:
        env.work.run("--limit", "1")
        everybody = (tmp_path / "people.csv").read_bytes()
        env.work.write_people(without(env, "user_0", "user_2", "user_4"))
        assert "campaign skip campaign.toml --missing" in env.work.run("--limit", "1").stdout
        done = env.work.campaign("skip", "campaign.toml", "--missing")
        assert done.stdout == "2 recipients skipped, because people.csv has no such row any more.\n"
        assert [row_of(env, f"user_{n}")["state"] for n in range(5)] == ["sent", "sent", "skipped", "queued", "skipped"]
        assert row_of(env, "user_4")["reason"] == "not in the CSV any more"
        assert "nothing to do" in env.work.campaign("skip", "campaign.toml", "--missing").stdout
        (tmp_path / "people.csv").write_bytes(everybody)
        assert env.work.run().returncode == 0
        assert len(env.accepted) == len(set(env.mailed)) == 5


def test_a_row_that_returns_before_the_next_run_is_queued_again(tmp_path: Path) -> None:
    """A CSV that lost a row only for a while mails it, although the last run had read the same file."""
    with environment(tmp_path, 3) as env:
        env.work.run("--limit", "1")
        everybody = (tmp_path / "people.csv").read_bytes()
        env.work.write_people(without(env, "user_2"))
        assert "1 recipient skipped" in env.work.campaign("skip", "campaign.toml", "--missing").stdout
        (tmp_path / "people.csv").write_bytes(everybody)
        assert env.work.run().returncode == 0
        assert len(env.accepted) == 3


def test_skip_before_the_first_run_makes_no_log(tmp_path: Path) -> None:
    """Without a log there is nobody to skip: the error says what makes one, and no file appears."""
    with environment(tmp_path) as env:
        refused(env.work.campaign("skip", "campaign.toml", "--key", "user_1"), "campaign run FILE")
        assert not env.work.log.exists()
