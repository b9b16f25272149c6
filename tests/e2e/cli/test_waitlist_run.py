"""A campaign for Clerk's waitlist, by its command line: in the sandbox, and at a Clerk that says other things."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from support.environment import environment
from support.fork_server import ForkingWorkspace
from support.no_fault import assert_no_fault
from support.servers.clerk_script import ClerkScript, Users, refusal
from support.servers.script import Drop, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.environment import Environment

_SOURCE = 'clerk = "waitlist"\n'
_CREATE = f"{_SOURCE}create_users = true\n"
_HTML = '<p>You joined on {{ joined_at }}</p><p><a href="{{ link }}">Sign in</a></p>'
PEOPLE = [{"user_id": f"user_{number}", "email": f"u{number}@example.com"} for number in range(1, 5)]


def rewrite(work: ForkingWorkspace, source: str, **changes: str) -> None:
    """Let the campaign read the waitlist instead of its CSV."""
    text = work.file.read_text(encoding="utf-8")
    for old, new in {'file = "people.csv"\n': source, "Hello {{ first_name }}": "Welcome", **changes}.items():
        text = text.replace(old, new)
    work.file.write_text(text, encoding="utf-8")


@pytest.fixture
def sandboxed(tmp_path: Path) -> ForkingWorkspace:
    """Return a campaign for the sandbox's waitlist."""
    work = ForkingWorkspace(tmp_path).write(html=_HTML, text=None)
    rewrite(work, _CREATE)
    return work


@pytest.fixture
def real(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Environment]:
    """Yield a campaign for the waitlist of a scripted Clerk; the parameter has its script and the section's lines."""
    script, source = getattr(request, "param", (ClerkScript(), _CREATE))
    script = replace(script, users=replace(script.users, waitlist=True))
    more = '[retry]\nfirst_delay = "50ms"\n'
    with environment(tmp_path, PEOPLE, clerk=script, html=_HTML, text=None, more=more) as found:
        rewrite(found.work, source)
        yield found


def reasons(work: Any) -> dict[str, tuple[str, str]]:  # noqa: ANN401 - of either kind
    """Return the state and the reason of each row, by address."""
    return {row["email"]: (row["state"], row["reason"]) for row in work.rows()}


def test_the_sandbox_plays_all_of_it(sandboxed: ForkingWorkspace) -> None:
    """Without an account the waitlist is read, users are made, mails carry their links, and a second run sends none."""
    checked = sandboxed.campaign("check", "campaign.toml")
    assert checked.returncode == 0, checked.stdout
    assert "no run has read Clerk's waitlist yet, so one made-up entry was rendered instead" in checked.stdout
    planned = sandboxed.campaign("plan", "campaign.toml")
    assert (planned.returncode, "campaign run campaign.toml reads it" in planned.stderr) == (2, True)
    done = sandboxed.run()
    assert done.returncode == 0, done.stderr + done.stdout
    assert "A Clerk user is made for each entry that has none" in done.stdout
    rows = {row["email"]: row for row in map(json.loads, _jsonl(sandboxed))}
    assert len(rows) == 11
    assert [row["state"] for row in rows.values()].count("sent") == 10
    assert "403 not_allowed_access" in rows["frances+nouser@example.com"]["reason"]
    assert all(row["user_id"].startswith("user_") for row in rows.values() if row["state"] == "sent")
    assert "alan@example.com" not in rows
    assert (sandboxed.folder / ".campaign" / "trial.waitlist.csv").stat().st_mode & 0o777 == 0o600
    again = sandboxed.run()
    assert (again.returncode, "nothing to send" in again.stdout) == (0, True)
    assert "10 sent already" in sandboxed.campaign("plan", "campaign.toml").stdout
    assert "11 emails can be rendered" in sandboxed.campaign("check", "campaign.toml").stdout
    assert "You joined on 20" in sandboxed.campaign("preview", "campaign.toml").stdout


def _jsonl(work: ForkingWorkspace) -> list[str]:
    return work.campaign("log", "campaign.toml", "--format", "jsonl").stdout.splitlines()


def test_each_entry_is_mailed_a_link_of_its_own_user(real: Environment) -> None:
    """Everyone on the list gets one user and one mail; `invite` is never called."""
    done = real.work.run()
    assert done.returncode == 0, done.stderr + done.stdout
    assert real.mailed == [person["email"] for person in PEOPLE]
    assert [event["user_id"] for event in real.clerk.events("user")] == [person["user_id"] for person in PEOPLE]
    assert sorted(event["user_id"] for event in real.tokens) == [person["user_id"] for person in PEOPLE]
    assert not [event for event in real.clerk.events("request") if "invite" in event["path"]]


@pytest.mark.parametrize(
    "real", [(ClerkScript(users=Users(already=("user_2",))), _SOURCE)], indirect=True, ids=["without create_users"]
)
def test_who_has_no_user_is_skipped(real: Environment) -> None:
    """Without `create_users` only entries whose person is a user are mailed; the others have the reason."""
    done = real.work.run()
    assert done.returncode == 0, done.stderr + done.stdout
    assert real.mailed == ["u2@example.com"]
    assert not real.clerk.events("user")
    found = reasons(real.work)
    assert found["u1@example.com"] == ("skipped", "no user at Clerk")
    assert "3 times: no user at Clerk" in done.stdout


@pytest.mark.parametrize(
    "real",
    [(ClerkScript(faults=(Fault("user", Drop(done=True), times=3), Fault("waitlist", Drop(), times=2))), _CREATE)],
    indirect=True,
    ids=["lost answers"],
)
def test_lost_answers_make_no_second_user(real: Environment) -> None:
    """Users whose answers were lost are found by their addresses, and nobody is left out."""
    done = real.work.run()
    assert done.returncode == 0, done.stderr + done.stdout
    assert real.mailed == [person["email"] for person in PEOPLE]
    made = [event["user_id"] for event in real.clerk.events("user")]
    assert sorted(made) == [person["user_id"] for person in PEOPLE]
    assert not real.work.status().get("orphans")


@pytest.mark.parametrize(
    "real", [(ClerkScript(faults=(Fault("waitlist", refusal(422, "waitlist_not_enabled")),)), _CREATE)], indirect=True
)
def test_an_instance_without_a_waitlist_is_a_sentence(real: Environment) -> None:
    """Clerk's refusal ends the run with exit code 3 and what to do, and no log is left behind."""
    done = real.work.run()
    assert done.returncode == 3
    assert "Clerk refuses to list the waitlist: 422 waitlist_not_enabled" in done.stderr
    assert_no_fault(done.stderr)
    assert not real.accepted
    assert not real.work.log.exists()


def test_who_joins_is_mailed_by_the_next_run(real: Environment) -> None:
    """A list that grew between two runs: only the new entry is mailed, though the others are completed meanwhile."""
    assert real.work.run().returncode == 0
    real.clerk.join("user_5", "u5@example.com")
    done = real.work.run()
    assert done.returncode == 0, done.stderr + done.stdout
    assert real.mailed == [f"u{number}@example.com" for number in range(1, 6)]
    assert len(real.clerk.events("user")) == 5


def test_an_entry_without_an_address_is_skipped(real: Environment) -> None:
    """An entry that has no address is an invalid row with its reason; the others are mailed."""
    real.clerk.join("user_9", "")
    done = real.work.run()
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(real.mailed) == 4
    assert "The address cannot be mailed" in done.stdout


def test_who_left_the_list_can_be_skipped(real: Environment) -> None:
    """In a batch of one, two people leave the list: they stay queued, which is said, until they are skipped."""
    assert real.work.run("--limit", "1").returncode == 0
    real.clerk.leave("user_3")
    done = real.work.run("--limit", "1")
    assert "will stay queued: they left the waitlist" in done.stdout
    skipped = real.work.campaign("skip", "campaign.toml", "--missing")
    assert skipped.stdout.startswith("1 recipient skipped"), skipped.stdout + skipped.stderr
    assert real.work.run().returncode == 0
    assert real.mailed == ["u1@example.com", "u2@example.com", "u4@example.com"]
