"""The time of the sandbox: shared by its processes, never behind what happened, and taken back by a fresh start."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from campaign.sandbox import forget_after, latest_in
from campaign.sandbox.state import State

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400.0
MAIL = b"Subject: Hello\r\nList-Id: <news.example.com>\r\n\r\nHello\r\n"


class Playing:
    """The clock of a run: stands at an instant unless `speed` moves it."""

    def __init__(self, instant: float, speed: float = 1.0) -> None:
        self.instant = instant
        self.speed = speed

    def now(self) -> float:
        """Return the instant."""
        return self.instant


def seconds(state: State) -> float:
    return state.now() / 1000


def test_a_new_sandbox_is_in_the_present(tmp_path: Path) -> None:
    """Without a run that plays, the sandbox's time is the machine's."""
    with closing(State(tmp_path / "state")) as state:
        assert seconds(state) == pytest.approx(time.time(), abs=1.0)
    assert latest_in(tmp_path / "state") == 0.0
    assert latest_in(tmp_path / "none") == 0.0


def test_the_inbox_follows_a_run_while_it_plays(tmp_path: Path) -> None:
    """An open inbox shows the run's time at the run's speed, and goes on from there at its own pace afterwards."""
    later = time.time() + 30 * DAY_S
    with closing(State(tmp_path / "state")) as inbox:
        with closing(State(tmp_path / "state", clock=Playing(later, speed=3600.0))) as run:
            assert seconds(run) == pytest.approx(later, abs=0.01)
            with run.followed():
                first = seconds(inbox)
                time.sleep(0.05)  # noqa: TID251 - real time passes
                second = seconds(inbox)
        assert later <= first < later + 3600
        assert second - first >= 0.05 * 3600
        assert seconds(inbox) == pytest.approx(second, abs=600.0)


def test_a_run_that_was_killed_is_not_followed(tmp_path: Path) -> None:
    """After a run's end without its own doing, the time does not race on: it is that of the last mail."""
    later = time.time() + 30 * DAY_S
    with closing(State(tmp_path / "state", clock=Playing(later, speed=86_400.0))) as run:
        with run.followed():
            run.mailbox.store(MAIL, sender="a@example.com", recipients=["b@example.com"])
        # the announcement stays in the database, as after a kill; only the lock is gone
        time.sleep(0.05)  # noqa: TID251 - real time passes
    with closing(State(tmp_path / "state")) as inbox:
        assert seconds(inbox) == pytest.approx(later, abs=1.0)


def test_a_sandbox_is_never_before_what_happened_in_it(tmp_path: Path) -> None:
    """A sandbox that opens after a run into the future begins at the latest mail, sign-in or revocation."""
    later = time.time() + 30 * DAY_S
    run = Playing(later)
    with closing(State(tmp_path / "state", clock=run)) as state:
        state.users.learn([("user_1", "mia@example.com")])
        created = state.tokens.create("user_1", seconds=3600)
        assert created is not None
        run.instant += 100
        assert state.tokens.revoke(created[0].id)
    assert latest_in(tmp_path / "state") == pytest.approx(later + 100, abs=0.01)
    with closing(State(tmp_path / "state")) as state:
        assert seconds(state) == pytest.approx(later + 100, abs=1.0)
    with closing(State(tmp_path / "state", begins_at=later + DAY_S)) as state:
        assert seconds(state) == pytest.approx(later + DAY_S, abs=1.0)


def test_a_token_expires_in_the_time_of_the_sandbox(tmp_path: Path) -> None:
    """A token lives for its seconds of simulated time, and not longer."""
    run = Playing(time.time() + DAY_S)
    with closing(State(tmp_path / "state", clock=run)) as state:
        state.users.learn([("user_1", "mia@example.com")])
        created = state.tokens.create("user_1", seconds=3600)
        assert created is not None
        token = created[0]
        run.instant += 3599
        found = state.tokens.get(token.id)
        assert found is not None
        assert not found.expired
        run.instant += 2
        found = state.tokens.get(token.id)
        assert found is not None
        assert found.expired
        assert not state.tokens.redeem(token.id)


def test_a_fresh_start_forgets_what_is_later(tmp_path: Path) -> None:
    """Mails, tokens and sign-ins after the beginning are deleted, with their files; earlier ones stay."""
    begin = time.time()
    run = Playing(begin - 100)
    folder = tmp_path / "state"
    with closing(State(folder, clock=run)) as state:
        state.users.learn([("user_1", "mia@example.com"), ("user_2", "ann@example.com")])
        kept = state.mailbox.store(MAIL, sender="a@example.com", recipients=["mia@example.com"])
        browser = state.sessions.new_browser()
        state.sessions.begin(browser, "user_1")
        early = state.tokens.create("user_1", seconds=30 * 86_400)
        run.instant = begin + 10 * DAY_S
        state.mailbox.store(MAIL, sender="a@example.com", recipients=["ann@example.com"])
        state.sessions.begin(browser, "user_1")
        state.sessions.begin(browser, "user_2")
        late = state.tokens.create("user_2", seconds=3600)
        assert early is not None
        assert late is not None
        assert state.tokens.redeem(early[0].id)
    assert forget_after(folder, begin) == 1
    assert latest_in(folder) == pytest.approx(begin - 100, abs=0.01)
    assert [path.name for path in (folder / "mail" / "new").iterdir()] == [kept]
    with closing(State(folder)) as state:
        assert seconds(state) == pytest.approx(time.time(), abs=1.0)
        assert [mail.recipients for mail in state.mailbox.find()] == [("mia@example.com",)]
        first, second = state.users.get("user_1"), state.users.get("user_2")
        assert first is not None
        assert second is not None
        assert first.last_sign_in_at == int((begin - 100) * 1000)
        assert second.last_sign_in_at is None
        assert state.tokens.get(late[0].id) is None
        assert state.tokens.redeem(early[0].id), "its sign-in is undone"
