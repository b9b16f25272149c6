"""`campaign results`: who signed in since, as Clerk says, with those held out beside; at a real socket."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from support.environment import Environment, environment
from support.no_fault import assert_no_fault
from support.servers.clerk_script import Answer, ClerkScript, Users, refusal
from support.servers.script import Drop, Fault
from support.workspace import made_up

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.record import Event


#: Clerk's own limit for test keys would take half a minute for each test.
FAST = '[limits]\ntokens = "2000/second"\n'


def calls(trial: Environment, *, after: int) -> list[Event]:
    """Return the requests to Clerk, without the first ones."""
    return trial.clerk.events("request")[after:]


def ask(trial: Environment) -> tuple[dict[str, Any], list[Event]]:
    """Return what `campaign results --json` prints, and the requests that it makes."""
    before = len(trial.clerk.events("request"))
    answer = trial.work.campaign("results", "campaign.toml", "--json")
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found, calls(trial, after=before)


def held_out(trial: Environment) -> set[str]:
    """Return the keys of those who are held out."""
    return {row["key"] for row in trial.work.rows() if row["reason"] == "held out"}


def test_it_shows_who_signed_in_and_asks_no_more_than_needed(tmp_path: Path) -> None:
    """A hundred users a call, each once and nothing else; who was seen since is not asked again, no link is revoked."""
    with environment(tmp_path, 330, recipients='holdout = "20%"', more=FAST) as trial:
        assert trial.work.run().returncode == 0
        away = held_out(trial)
        mailed = {row["key"] for row in trial.work.rows() if row["state"] == "sent"}
        assert 30 < len(away) < 110
        assert len(mailed) + len(away) == 330
        assert {event["user_id"] for event in trial.tokens} == mailed
        now = time.time()
        came, before, other = sorted(mailed)[:7], sorted(mailed)[7:17], sorted(away)[:2]
        for user in [*came, *other]:
            trial.clerk.see(user, last_sign_in_at=now + 60)
        for user in before:
            trial.clerk.see(user, last_sign_in_at=now - 86_400)
        found, requests = ask(trial)
        everyone, held = found["everyone"], found["held_out"]
        assert (everyone["number"], everyone["signed_in"]) == (len(mailed), 7)
        assert (held["number"], held["signed_in"]) == (len(away), 2)
        assert everyone["within"]["hour"] == {"at_least": 7, "at_most": 7}
        assert found["difference"]["mailed"] == pytest.approx(7 / len(mailed))
        assert found["difference"]["held_out"] == pytest.approx(2 / len(away))
        assert {event["stage"] for event in requests} == {"users"}
        assert len(requests) == -(-len(mailed) // 100) + -(-len(away) // 100)
        assert trial.revoked == set()
        again, requests = ask(trial)
        assert again["everyone"] == everyone
        assert len(requests) == -(-(len(mailed) - 7) // 100) + -(-(len(away) - 2) // 100)
        told = trial.work.campaign("results", "campaign.toml").stdout
        assert "held out" in told
        assert "only a user's last sign-in" not in told  # nothing is uncertain here


def test_an_early_answer_is_remembered(tmp_path: Path) -> None:
    """What Clerk said once stays known when the user signs in again much later."""
    with environment(tmp_path, 2) as trial:
        trial.work.run()
        now = time.time()
        trial.clerk.see("user_0", last_sign_in_at=now + 120)
        ask(trial)
        for user in ("user_0", "user_1"):
            trial.clerk.see(user, last_sign_in_at=now + 3 * 86_400)
        found, _ = ask(trial)
        within = found["everyone"]["within"]
        assert [within[name]["at_least"] for name in ("hour", "day", "week")] == [1, 1, 2]
        # the second may have come within the hour: Clerk was asked before that
        assert [within[name]["at_most"] for name in ("hour", "day", "week")] == [2, 2, 2]
        assert "only a user's last sign-in" in trial.work.campaign("results", "campaign.toml").stdout


@pytest.mark.long
def test_faults_of_clerk_are_borne(tmp_path: Path) -> None:
    """A 429, an outage and a lost answer are asked again; nobody is missing or counted twice."""
    faults = (
        Fault("users", Drop(), times=1),
        Fault("users", refusal(429, "too_many_requests", retry_after=1), times=1),
        Fault("users", Answer(503), times=1),
    )
    more = FAST + '[retry]\nfirst_delay = "100ms"\n'
    script = ClerkScript(users=Users(unknown=("user_7",)), faults=faults)
    with environment(tmp_path, 220, clerk=script, recipients="verify_address = false", more=more) as trial:
        trial.work.run()
        trial.clerk.see("user_3", last_sign_in_at=time.time() + 5)
        found, requests = ask(trial)
        assert (found["everyone"]["number"], found["everyone"]["signed_in"]) == (219, 1)
        assert [event["fault"] for event in requests] == ["Drop", "Answer", "Answer", None, None, None]


def test_a_user_who_is_gone_is_in_no_share(tmp_path: Path) -> None:
    """Who is no user any more is named, and is in no share; nor is a held-out address that would not be mailed."""
    people = list(made_up(60))
    with environment(tmp_path, people, recipients='holdout = "50%"', more=FAST) as trial:
        trial.work.run()
        away, rows = held_out(trial), trial.work.rows()
        gone = next(row["key"] for row in rows if row["state"] == "sent")
        stranger = min(away)
        directory = trial.clerk._clerk.api.users  # noqa: SLF001 - the test's own server
        directory._users = replace(directory._users, unknown=(gone,), moved=(stranger,))  # noqa: SLF001
        found, _ = ask(trial)
        assert (found["everyone"]["unknown_at_clerk"], found["held_out"]["unknown_at_clerk"]) == (1, 1)
        told = trial.work.campaign("results", "campaign.toml").stdout
        assert "1 recipient mailed without a user at Clerk now" in told
        assert "1 recipient held out whom the campaign would not have mailed" in told


@pytest.mark.parametrize(
    ("status", "code", "words"), [(401, 3, "CLERK_SECRET_KEY"), (500, 1, "Clerk")], ids=["wrong key", "outage"]
)
def test_what_cannot_be_asked_is_a_sentence(tmp_path: Path, status: int, code: int, words: str) -> None:
    """A refused key and an outage that lasts end with a sentence and an exit code; the log says nothing new."""
    fault = Fault("users", refusal(status, "clerk_key_invalid" if status == 401 else "internal"), skip=1)
    more = '[retry]\nfirst_delay = "100ms"\nattempts = 2\n'
    with environment(tmp_path, 3, clerk=ClerkScript(faults=(fault,)), more=more) as trial:
        trial.work.run()
        answer = trial.work.campaign("results", "campaign.toml")
        assert answer.returncode == code
        assert words in answer.stderr
        assert_no_fault(answer.stderr)
        assert answer.stdout == ""


def test_before_a_run_there_is_nothing_to_show(tmp_path: Path) -> None:
    """Without a log, and with one of another campaign, the sentence says to run the campaign first; no log is made."""
    with environment(tmp_path, 3) as trial:
        answer = trial.work.campaign("results", "campaign.toml")
        assert answer.returncode == 2
        assert "campaign run" in answer.stderr
        assert not trial.work.log.exists()
        assert trial.silent
        trial.work.run()
        text = trial.work.file.read_text()
        trial.work.file.write_text(text.replace('name = "trial"', 'name = "other"'))
        answer = trial.work.campaign("results", "campaign.toml")
        assert answer.returncode == 2
        assert "'other'" in answer.stderr


@pytest.mark.long
def test_a_changed_share_is_said(tmp_path: Path) -> None:
    """A run says how many are held out, and what a change of the percentage does to them."""
    with environment(tmp_path, 400, recipients='holdout = "10%"', more=FAST) as trial:
        trial.work.write_people(200)
        first = trial.work.run()
        assert "held out, about 10%" in first.stdout
        before, text = held_out(trial), trial.work.file.read_text()
        trial.work.file.write_text(text.replace('"10%"', '"20%"'))
        trial.work.write_people(400)
        second = trial.work.run()
        assert "holdout was 10%, and is 20% now: whoever was held out before still is" in second.stdout
        assert "it would hold out got mail before" in second.stdout
        assert before < held_out(trial)
        trial.work.file.write_text(text.replace('holdout = "10%"', ""))
        third = trial.work.run()
        assert "recipients held out before will be mailed" in third.stdout
        assert held_out(trial) == set()
        assert len(trial.mailed) == len(set(trial.mailed)) == 400


def test_the_plan_leaves_them_out(tmp_path: Path) -> None:
    """Before the first run about so many are left out of the plan, and after it exactly those who are held out."""
    with environment(tmp_path, 400, recipients='holdout = "25%"\nbatch = 100', more=FAST) as trial:

        def plan() -> tuple[int, int]:
            found = json.loads(trial.work.campaign("plan", "campaign.toml", "--json").stdout)
            return found["messages"], found["left_out"]["held out"]

        messages, away = plan()
        assert messages + away == 400
        assert 50 < away < 150
        trial.work.run()
        assert plan() == (300 - len(held_out(trial)), len(held_out(trial)))
        assert len(trial.mailed) == 100


def test_who_is_held_out_of_a_waitlist_has_no_user_and_counts(tmp_path: Path) -> None:
    """No user is made for an entry that is held out; it counts as a person who did not sign in, not as a stranger."""
    people = [{"user_id": f"user_{number}", "email": f"u{number}@example.com"} for number in range(30)]
    script = ClerkScript(users=Users(waitlist=True))
    more: dict[str, Any] = {
        "recipients": 'clerk = "waitlist"\ncreate_users = true\nholdout = "40%"',
        "text": None,
        "more": FAST,
    }
    with environment(tmp_path, people, clerk=script, html='<a href="{{ link }}">In</a>', **more) as trial:
        text = trial.work.file.read_text().replace('file = "people.csv"\n', "").replace("{{ first_name }}", "")
        trial.work.file.write_text(text)
        done = trial.work.run()
        assert done.returncode == 0, done.stderr
        away = len(held_out(trial))
        assert 0 < away < 30
        assert len(trial.clerk.events("user")) == len(trial.mailed) == 30 - away
        found, requests = ask(trial)
        assert {event["stage"] for event in requests} <= {"users", "waitlist"}
        assert (found["everyone"]["number"], found["everyone"]["unknown_at_clerk"]) == (30 - away, 0)
        assert (found["held_out"]["number"], found["held_out"]["unknown_at_clerk"]) == (away, 0)
        assert len(trial.clerk.events("user")) == 30 - away
