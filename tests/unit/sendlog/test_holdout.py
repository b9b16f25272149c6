"""The recipients who are never mailed: the draw, and what the log does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.model import Status
from campaign.sendlog.holdout import draw
from support.fake_clock import FakeClock
from support.sendlog_helpers import bring, enlist, opened, people, table, working

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.model import Delivery
    from campaign.sendlog import SendLog

SECRETS = st.binary(min_size=32, max_size=32)
KEYS = st.text(min_size=1, max_size=60)
HELD = "SELECT key FROM delivery WHERE reason = 'held out' AND step_number = 0 ORDER BY key"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a new log."""
    return tmp_path / "send-log.db"


def held(path: Path) -> set[str]:
    """Return the keys that are held out."""
    return {row["key"] for row in table(path, HELD)}


def send_all(log: SendLog) -> None:
    """Send to everyone who is due."""

    async def work(rows: list[Delivery]) -> None:
        for row in rows:
            await bring(log, row, Status.SENT)

    working(log, work)


def claimed(log: SendLog) -> set[str]:
    """Return the keys of the rows that are due."""
    keys: set[str] = set()

    async def work(rows: list[Delivery]) -> None:
        keys.update(row.recipient.key for row in rows)

    working(log, work)
    return keys


@given(secret=SECRETS, key=KEYS)
def test_a_lot_depends_on_key_and_secret_alone(secret: bytes, key: str) -> None:
    """The same key has the same lot each time, from 0 to below 1, and another one with another secret."""
    lot = draw(secret, key)
    assert 0 <= lot < 1
    assert lot == draw(secret, key)
    assert lot != draw(bytes(32) if secret != bytes(32) else b"x" * 32, key)


@given(secret=SECRETS, share=st.floats(0.02, 0.9), prefix=st.text(max_size=8))
def test_a_share_is_about_what_it_says(secret: bytes, share: float, prefix: str) -> None:
    """Of 2000 keys the share that is held out is within six standard deviations of the wanted one."""
    number = sum(draw(secret, f"{prefix}{each}") < share for each in range(2000))
    assert abs(number - 2000 * share) <= 6 * (2000 * share * (1 - share)) ** 0.5


def test_a_draw_stays_when_the_list_grows(path: Path) -> None:
    """Reading the CSV again, with more rows before and behind, holds out the same ones and some of the new."""
    with opened(path) as log:
        enlist(log, people(300)[100:200])
        first = log.hold_out(10, in_batches=False)
        before = held(path)
        assert first.held == first.added == len(before) > 0
        assert log.hold_out(10, in_batches=False) == first._replace(added=0)
        enlist(log, list(reversed(people(300))))
        again = log.hold_out(10, in_batches=False)
        assert before < held(path)
        assert held(path) == {each.key for each in people(300) if draw(log.message_key, each.key) < 0.1}
        assert (again.held, again.added) == (len(held(path)), len(held(path)) - len(before))


def test_nobody_who_is_held_out_is_claimed(path: Path) -> None:
    """A held-out recipient gets no step, is in no batch, and `retry` and a changed row leave it held out."""
    with opened(path) as log:
        rows = people(60)
        enlist(log, rows, steps=("first", "second"))
        count = log.hold_out(50, in_batches=False).held
        batch = log.take_batch(None)
        assert batch is not None
        assert batch.size == 60 - count
        assert not claimed(log) & held(path)
        assert log.retry(state=Status.SKIPPED) == 0
        assert log.retry(state=Status.SKIPPED, email=next(each.email for each in rows if each.key in held(path))) == 0
        enlist(
            log, [each._replace(variables={"first_name": "New"}) for each in rows], steps=("first", "second", "third")
        )
        log.hold_out(50, in_batches=False)
        assert not claimed(log) & held(path)
        assert log.summary()[Status.SKIPPED] == 3 * count


def test_a_larger_share_keeps_who_was_held_out(path: Path) -> None:
    """More recipients are held out, none of them mailed before, and those who would be are counted."""
    with opened(path) as log:
        enlist(log, people(200))
        log.hold_out(10, in_batches=False)
        before = held(path)
        log.take_batch(None)
        send_all(log)
        enlist(log, people(400))
        found = log.hold_out(30, in_batches=False)
        assert before < held(path)
        would = {each.key for each in people(400) if draw(log.message_key, each.key) < 0.3}
        mailed = {row["key"] for row in table(path, "SELECT key FROM delivery WHERE state = 'sent'")}
        assert held(path) == would - mailed
        assert (found.mailed, found.released) == (len(would & mailed), 0)
        assert (found.share_before, found.share, found.is_changed) == (10, 30, True)


@pytest.mark.parametrize("in_batches", [False, True])
def test_a_smaller_share_releases_the_others(path: Path, *, in_batches: bool) -> None:
    """Those whom the smaller share does not hold out are mailed by the run or a later batch; without one, all are."""
    with opened(path, clock=FakeClock()) as log:
        enlist(log, people(200), in_batches=in_batches)
        log.hold_out(40, in_batches=in_batches)
        before = held(path)
        found = log.hold_out(20, in_batches=in_batches)
        after = held(path)
        assert after == {key for key in before if draw(log.message_key, key) < 0.2}
        assert found.released == len(before - after)
        assert log.hold_out(None, in_batches=in_batches).released == len(after)
        batch = log.take_batch(500 if in_batches else None)
        assert batch is not None
        assert claimed(log) == {each.key for each in people(200)}
        assert held(path) == set()
