"""Steps: one row for each step of a key, which waits until the step before it is sent."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.model import NEVER, Deferral, EarlierStep, InvalidRow, Outcome, Revocation, Status, Waiting
from campaign.sendlog import Enlistment, QueueCursor
from support.examples import fewer_examples
from support.fake_clock import FakeClock
from support.sendlog_helpers import bring, intend, opened, people, person, table

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from campaign.model import Delivery, Recipient
    from campaign.sendlog import SendLog

START = 1_750_000_000.0
THREE = ("first", "second", "third")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


def enlist(
    log: SendLog, rows: Sequence[Recipient | InvalidRow], *, steps: Sequence[str] = THREE, in_batches: bool = False
) -> Enlistment:
    return log.enlist(lambda: rows, source="carts.csv", digest=repr(rows), steps=steps, in_batches=in_batches)


def during(log: SendLog, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do something while the log's writer runs."""

    async def run() -> None:
        async with log:
            await work()

    asyncio.run(run())


async def claim(log: SendLog) -> dict[tuple[str, str], Delivery]:
    """Return the due rows by key and step."""
    return {(row.recipient.key, row.step): row for row in await log.claim(1000, QueueCursor())}


async def send(log: SendLog, row: Delivery) -> None:
    await log.settle(await intend(log, row), Outcome(Status.SENT))


def rows_of(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["key"], row["step"]): row for row in table(path, "SELECT * FROM delivery ORDER BY id")}


def states_of(path: Path) -> dict[tuple[str, str], str]:
    return {each: row["state"] for each, row in rows_of(path).items()}


def test_each_step_is_a_row(path: Path) -> None:
    """Enlisting writes every step of each recipient; only the first is due, and recipients are counted once."""
    with opened(path, clock=FakeClock(START)) as log:
        assert enlist(log, people(2)) == Enlistment(recipients=2, added=2)
        during(log, lambda: _expect(log, [("user_1", "first"), ("user_2", "first")]))
        summary = log.summary()
        assert (summary.recipients, summary.deliveries) == (2, 6)
        assert summary.steps == {step: {Status.QUEUED: 2} for step in THREE}
        assert (summary.waiting, summary.next_due) == ({Waiting.STEP: 4}, None)
    assert [(row["step_number"], row["not_before"]) for row in rows_of(path).values()] == [
        (0, 0.0),
        (1, NEVER),
        (2, NEVER),
    ] * 2


async def _expect(log: SendLog, wanted: list[tuple[str, str]]) -> None:
    assert sorted(await claim(log)) == sorted(wanted)


def test_an_invalid_row_is_one_row(path: Path) -> None:
    """An invalid row and a row with a known key are skipped once, not once for each step."""
    with opened(path) as log:
        result = enlist(log, [person(1), InvalidRow("x", "no address", None, "the address has no @", 3), person(1)])
        assert result == Enlistment(recipients=1, added=1, invalid=1, duplicates=1)
        assert log.summary().counts == {Status.QUEUED: 3, Status.SKIPPED: 2}
        assert log.summary().recipients == 3


def test_a_step_that_is_sent_makes_the_next_one_due(path: Path) -> None:
    """In the transaction of `sent` the next step becomes due in the same run, with the batch of the first."""
    clock = FakeClock(START)

    async def work() -> None:
        cursor = QueueCursor()
        one, two = await log.claim(10, cursor)
        await send(log, one)
        assert await log.next_due(cursor.after[0]) == pytest.approx(START, abs=0.1)
        clock.jump(1)
        (second,) = await log.claim(10, cursor)
        assert (second.recipient, second.step, second.step_number, second.batch) == (one.recipient, "second", 1, 1)
        await log.settle(two, Outcome(Status.FAILED, "no such user"))
        clock.jump(1)
        assert await log.claim(10, cursor) == []

    with opened(path, clock=clock) as log:
        enlist(log, people(2), in_batches=True)
        log.take_batch(2)
        during(log, work)
        assert log.summary().waiting == {Waiting.STEP: 3}


@pytest.mark.parametrize("state", [Status.FAILED, Status.UNCERTAIN, Status.SKIPPED, Status.QUEUED])
def test_only_a_sent_step_releases_the_next(path: Path, state: Status) -> None:
    """The step after one that failed, is uncertain or was skipped waits on, also in the next run."""

    async def work() -> None:
        await bring(log, (await claim(log))["user_1", "first"], state)

    with opened(path) as log:
        enlist(log, people(1))
        during(log, work)
        assert log.release_steps() == 0
        assert rows_of(path)["user_1", "second"]["waiting"] == "step"


def test_what_changed_outside_a_run_is_caught_up(path: Path) -> None:
    """A step that an operator takes as sent makes the next one due at the start of the next run."""

    async def work() -> None:
        await bring(log, (await claim(log))["user_1", "first"], Status.UNCERTAIN)

    with opened(path) as log:
        enlist(log, people(1))
        during(log, work)
        log.keep_uncertain()
        assert log.release_steps() == 1
        assert log.release_steps() == 0
        during(log, lambda: _expect(log, [("user_1", "second")]))


def test_the_steps_before_are_told(path: Path) -> None:
    """The run gets the earlier steps of each row: their state, their intent's instant, their token and its user."""
    clock = FakeClock(START)

    async def work() -> None:
        first = (await claim(log))["user_1", "first"]
        await send(log, first)
        clock.jump(100)
        second = (await claim(log))["user_1", "second"]
        told = EarlierStep("first", Status.SENT, START, f"sit_{first.id}_1", "user_1")
        assert await log.earlier_steps([second.id, first.id]) == {second.id: (told,), first.id: ()}
        await send(log, second)
        clock.jump(100)
        third = (await claim(log))["user_1", "third"]
        found = (await log.earlier_steps([third.id]))[third.id]
        assert [(each.step, each.sent_at) for each in found] == [("first", START), ("second", START + 100)]

    with opened(path, clock=clock) as log:
        enlist(log, people(2))
        during(log, work)


def test_the_token_of_the_step_before_is_revoked_once(path: Path) -> None:
    """The revocation belongs to the row that the token was sent with, and Clerk's answer is known the next time."""
    clock = FakeClock(START)

    async def work() -> None:
        first = (await claim(log))["user_1", "first"]
        await send(log, first)
        clock.jump(1)
        second = (await claim(log))["user_1", "second"]
        (before,) = (await log.earlier_steps([second.id]))[second.id]
        assert before.token_id
        assert await log.ask_revocation(second, before.token_id) is None
        assert await log.ask_revocation(second, before.token_id) is None
        (asked,) = table(path, "SELECT token_id, delivery_id, settled_at FROM revocation")
        assert asked == {"token_id": before.token_id, "delivery_id": first.id, "settled_at": None}
        assert await log.try_revocations(10) == [(before.token_id, False)]
        assert await log.try_revocations(10) == [(before.token_id, True)], "the first try may have revoked it"
        await log.settle_revocation(before.token_id, Revocation.USED)
        await log.settle_revocation(before.token_id, Revocation.UNKNOWN)
        assert await log.ask_revocation(second, before.token_id) == Revocation.USED
        assert await log.try_revocations(10) == []

    with opened(path, clock=clock) as log:
        enlist(log, people(1))
        during(log, work)
        assert log.summary().used_before_revoked == 0, "the token's mail was sent, so this is no alarm"


@pytest.mark.parametrize("claimed", [True, False], ids=["settled", "put off by the gate"])
def test_who_came_back_gets_no_later_step(path: Path, *, claimed: bool) -> None:
    """With `ends_sequence` all later steps of the key are skipped with the same reason, and nobody else's."""
    clock = FakeClock(START)

    async def work() -> None:
        for row in (await claim(log)).values():
            await send(log, row)
        clock.jump(1)
        second = (await claim(log))["user_1", "second"]
        if claimed:
            await log.settle(second, Outcome(Status.SKIPPED, "link used", ends_sequence=True))
        else:
            await log.skip({second.id: "link used"}, ends_sequence=True)

    with opened(path, clock=clock) as log:
        enlist(log, people(2))
        during(log, work)
    found = {each: (row["state"], row["reason"]) for each, row in rows_of(path).items()}
    assert found == {
        ("user_1", "first"): ("sent", ""),
        ("user_1", "second"): ("skipped", "link used"),
        ("user_1", "third"): ("skipped", "link used"),
        ("user_2", "first"): ("sent", ""),
        ("user_2", "second"): ("queued", ""),
        ("user_2", "third"): ("queued", ""),
    }


def test_one_step_may_be_skipped_alone(path: Path) -> None:
    """Without `ends_sequence` the later steps of the key keep waiting; a row that is not queued is left as it is."""

    async def work() -> None:
        rows = await claim(log)
        first, other = rows["user_1", "first"], rows["user_2", "first"]
        await intend(log, other)
        await log.skip({first.id: "too late", other.id: "too late"}, ends_sequence=False)

    with opened(path) as log:
        enlist(log, people(2), steps=("first", "second"))
        during(log, work)
    assert list(states_of(path).values()) == ["skipped", "queued", "sending", "queued"]


# -- a campaign file that changes --------------------------------------------------------------------------------


def test_a_new_step_is_for_known_recipients_as_well(path: Path) -> None:
    """A step that is new in the file gets a row for each known key; those of a step that is gone stay."""

    async def work() -> None:
        await send(log, (await claim(log))["user_1", "first"])

    with opened(path) as log:
        enlist(log, people(1), steps=("first", "second"))
        during(log, work)
        assert enlist(log, people(2), steps=("first", "between")) == Enlistment(recipients=2, added=1)
        assert log.release_steps() == 1
        during(log, lambda: _expect(log, [("user_1", "between"), ("user_2", "first")]))
        assert log.summary().elsewhere == 1
        assert log.summary().steps["second"] == {Status.QUEUED: 1}
    assert states_of(path)["user_1", "second"] == "queued"


def test_steps_that_change_places_keep_their_rows(path: Path) -> None:
    """A step is known by its name: in another place it has the same row, and is mailed once."""

    async def work() -> None:
        await send(log, (await claim(log))["user_1", "first"])

    with opened(path) as log:
        enlist(log, people(1), steps=("first", "second"))
        during(log, work)
        enlist(log, people(1), steps=("new", "first", "second"))
        assert len(rows_of(path)) == 3
        assert [rows_of(path)["user_1", step]["step_number"] for step in ("new", "first", "second")] == [0, 1, 2]
        assert log.release_steps() == 0, "the second was due already"
        during(log, lambda: _expect(log, [("user_1", "new"), ("user_1", "second")]))


def test_a_later_step_that_becomes_the_first_is_due(path: Path) -> None:
    """If the file turns the steps round, the new first one waits for nothing, and the other one for it."""
    with opened(path) as log:
        enlist(log, people(1), steps=("first", "second"))
        enlist(log, people(1), steps=("second", "first"))
        log.take_batch(None)
        log.release_steps()
        during(log, lambda: _expect(log, [("user_1", "second")]))


def test_a_campaign_without_steps_takes_over_the_first(path: Path) -> None:
    """If the steps are taken out of the file, who got the first one is not mailed again."""

    async def work() -> None:
        await send(log, (await claim(log))["user_1", "first"])

    with opened(path) as log:
        enlist(log, people(2))
        during(log, work)
        enlist(log, people(2), steps=("",))
        during(log, lambda: _expect(log, [("user_2", "")]))
        assert log.summary().steps == {}


def test_who_was_skipped_by_hand_gets_no_new_step(path: Path) -> None:
    """A key that an operator skipped gets nothing more, also of a step that the file has only now."""
    with opened(path) as log:
        enlist(log, people(2), steps=("first",))
        assert log.skip_key("user_1", reason="skipped by hand") == 1
        enlist(log, people(2), steps=("zero", "first"))
    assert states_of(path)["user_1", "zero"] == "skipped"
    assert rows_of(path)["user_1", "zero"]["reason"] == "skipped by hand"


def test_changed_data_is_for_the_steps_that_were_not_sent(path: Path) -> None:
    """A changed CSV row changes the steps that are still queued, and counts once."""

    async def work() -> None:
        await send(log, (await claim(log))["user_1", "first"])

    with opened(path) as log:
        enlist(log, people(1))
        during(log, work)
        result = enlist(log, [person(1)._replace(email="new@example.com")])
        assert (result.changed, result.changed_late) == (1, 0)
    assert {step: row["email"] for (_, step), row in rows_of(path).items()} == {
        "first": "u1@example.com",
        "second": "new@example.com",
        "third": "new@example.com",
    }


# -- the operator ------------------------------------------------------------------------------------------------


def test_a_key_is_skipped_in_all_its_steps(path: Path) -> None:
    """`skip --key` sets every step that was not sent to skipped, beside a run; a changed CSV does not bring it back."""

    async def work() -> None:
        row = (await claim(log))["user_1", "first"]
        await send(log, row)
        with opened(path, clock=clock) as beside:
            assert beside.skip_key("user_1", reason="skipped by hand") == 2
            assert beside.state_of("user_1") is Status.SKIPPED
        assert await log.claim(10, QueueCursor()) == []

    clock = FakeClock(START)
    with opened(path, clock=clock) as log:
        enlist(log, people(1))
        during(log, work)
        enlist(log, [person(1)._replace(email="new@example.com")])
    assert list(states_of(path).values()) == ["sent", "skipped", "skipped"]


def test_a_key_under_way_is_said_so(path: Path) -> None:
    """If one step is being sent, the others are skipped, and the state is that of the step under way."""

    async def work() -> None:
        row = (await claim(log))["user_1", "first"]
        await intend(log, row)
        with opened(path) as beside:
            assert beside.skip_key("user_1", reason="skipped by hand") == 2
            assert beside.state_of("user_1") is Status.SENDING
            assert beside.state_of("user_9") is None
        await log.settle(row, Outcome(Status.SENT))

    with opened(path) as log:
        enlist(log, people(1))
        during(log, work)
    assert list(states_of(path).values()) == ["sent", "skipped", "skipped"]


def test_who_left_the_csv_gets_no_step(path: Path) -> None:
    """`skip --missing` skips every queued step of a key that is gone; back in the CSV, each waits as before."""
    with opened(path) as log:
        enlist(log, people(2))
        assert log.skip_missing(["user_2"], reason="not in the CSV any more") == 3
        enlist(log, people(2))
        assert log.summary().waiting == {Waiting.STEP: 4}
        during(log, lambda: _expect(log, [("user_1", "first"), ("user_2", "first")]))


def test_a_retried_step_waits_for_the_one_before(path: Path) -> None:
    """`retry` puts rows of any step back; a later one is due only if the step before it is sent."""
    clock = FakeClock(START)

    async def work() -> None:
        rows = await claim(log)
        await send(log, rows["user_1", "first"])
        await bring(log, rows["user_2", "first"], Status.SKIPPED)
        clock.jump(1)
        await bring(log, (await claim(log))["user_1", "second"], Status.FAILED)

    with opened(path, clock=clock) as log:
        enlist(log, people(2), steps=("first", "second"))
        during(log, work)
        assert log.skip_key("user_2", reason="skipped by hand") == 2
        assert log.retry(state=Status.FAILED) == 1
        assert log.retry(state=Status.SKIPPED, email="u2@example.com") == 2
        during(log, lambda: _expect(log, [("user_1", "second"), ("user_2", "first")]))


def test_only_the_latest_mail_of_a_person_is_sent_again(path: Path) -> None:
    """`resend` queues the latest step that was sent, and the step after it waits for the new mail."""
    clock = FakeClock(START)

    async def work() -> None:
        await send(log, (await claim(log))["user_1", "first"])
        clock.jump(1)
        second = (await claim(log))["user_1", "second"]
        (before,) = (await log.earlier_steps([second.id]))[second.id]
        await log.ask_revocation(second, before.token_id or "")
        await log.settle_revocation(before.token_id or "", Revocation.REVOKED)
        await send(log, second)
        clock.jump(1)
        assert list(await claim(log)) == [("user_1", "third")]

    async def answer() -> None:
        for token_id, _ in await log.try_revocations(9):
            await log.settle_revocation(token_id, Revocation.REVOKED)

    with opened(path, clock=clock) as log:
        enlist(log, people(1))
        during(log, work)
        assert log.count_resendable(email="u1@example.com") == 1
        assert log.count_resendable(email=None) == 0, "the first step's link was revoked for the second"
        log.revoke_resendable(email="u1@example.com")
        during(log, answer)
        assert log.resend(email="u1@example.com") == 1
        assert list(states_of(path).values()) == ["sent", "queued", "queued"]
        clock.jump(1)
        during(log, lambda: _expect(log, [("user_1", "second")]))


def test_a_step_resolved_for_another_mail_holds_the_next(path: Path) -> None:
    """`resolve --resend` puts an uncertain step back, and the step after it waits."""

    async def work() -> None:
        row = (await claim(log))["user_1", "first"]
        await log.sending(row, message_id="<1@acme.example>", server="m", with_token=False)
        await log.settle(row, Outcome(Status.UNCERTAIN, "no reply"))

    with opened(path) as log:
        enlist(log, people(1))
        during(log, work)
        assert log.resend_uncertain() == (1, 0)
        during(log, lambda: _expect(log, [("user_1", "first")]))


# -- the law -----------------------------------------------------------------------------------------------------

_ACTS = ("send", "put off", "fail", "skip", "come back", "crash")


class Play:
    """Runs of a campaign with three steps and four people, and what was sent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clock = FakeClock(START)
        self.sent: Counter[tuple[str, str]] = Counter()
        self._came_back: set[str] = set()

    def run(self, acts: list[tuple[int, str]]) -> None:
        """Do to the rows of each page, from a place on, what `acts` says."""
        with opened(self._path, clock=self._clock) as log:
            log.recover()
            enlist(log, people(4))
            log.take_batch(None)
            log.release_steps()
            asyncio.run(self._run(log, acts))
            self._clock.jump(20)

    async def _run(self, log: SendLog, acts: list[tuple[int, str]]) -> None:
        cursor = QueueCursor()
        async with log:
            for place, what in acts:
                page = await log.claim(100, cursor)
                for row in page:
                    done = [each.status for each in (await log.earlier_steps([row.id]))[row.id]]
                    assert done == [Status.SENT] * row.step_number
                    assert row.recipient.key not in self._came_back
                for row in page[place:]:
                    await self._act(log, row, what)
                self._clock.jump(5)

    async def _act(self, log: SendLog, row: Delivery, what: str) -> None:
        if what == "send":
            await send(log, row)
            self.sent[row.recipient.key, row.step] += 1
        elif what == "put off":
            await log.put_off({row.id: Deferral(self._clock.now() + 10, Waiting.WINDOW, "at night")})
        elif what == "crash":
            await intend(log, row)
        elif what == "come back":
            await log.settle(row, Outcome(Status.SKIPPED, "link used", ends_sequence=True))
            self._came_back.add(row.recipient.key)
        else:
            await log.settle(row, Outcome(Status.FAILED if what == "fail" else Status.SKIPPED, what))


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(_ACTS)), max_size=6), max_size=8))
@fewer_examples()
def test_a_step_goes_out_once_and_after_the_one_before(runs: list[list[tuple[int, str]]]) -> None:
    """However runs go and break off, no step is claimed unless the ones before are sent, and none is sent twice."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        play = Play(path)
        for acts in [*runs, [(0, "send")] * 6]:
            play.run(acts)
        assert set(play.sent.values()) <= {1}
        for (key, step), state in states_of(path).items():
            assert (state == "sent") == (play.sent[key, step] == 1)
            assert not (state == "queued" and step == "first"), "the last run sent whatever could be sent"
