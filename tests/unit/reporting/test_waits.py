"""What the queued rows wait for, in sentences and as objects."""

from __future__ import annotations

from campaign.model import Batch, Status, Waiting
from campaign.reporting.waits import MEANING, as_objects, standing
from campaign.sendlog import BatchCounts, Summary

START = 1_772_528_400.0  # 2026-03-03 09:00 UTC
STEPS = {"first": {Status.SENT: 8000, Status.QUEUED: 2000}, "second": {Status.QUEUED: 10_000}}
BATCHES = [
    BatchCounts(Batch(2, START, 500), {Status.SENT: 480, Status.FAILED: 20}),
    BatchCounts(Batch(3, START + 86_400, 500), {Status.QUEUED: 500}),
]


def test_every_wait_has_its_words() -> None:
    """Each thing that a row may wait for is explained."""
    assert set(MEANING) == set(Waiting) - {Waiting.NOTHING}


def test_nothing_is_said_where_nothing_waits() -> None:
    """A campaign in one batch, without steps and with nothing queued, gets no line."""
    assert standing(Summary("trial", {Status.SENT: 3}), BATCHES[:1]) == []


def test_what_rows_wait_for_is_one_sentence() -> None:
    """The numbers stand with what they wait for, the quota with its end, and the next instant."""
    waiting = {Waiting.QUOTA: 12, Waiting.DUE: 4000, Waiting.STEP: 7}
    why = "the ramp's quota for today is used up (500 messages)"
    summary = Summary(
        "trial", {}, waiting=waiting, next_due=START + 60, quota=why, quota_until=START + 3600, steps=STEPS
    )
    sentence = (
        "Waiting: 4,000 for their due time, 7 for the step before them, 12 for the quota. Until 2026-03-03 10:00 UTC "
        "the ramp's quota for today is used up (500 messages). The next is due on 2026-03-03 09:01 UTC."
    )
    assert standing(summary, BATCHES) == [
        "Step first: 2,000 queued, 8,000 sent.",
        "Step second: 10,000 queued.",
        "Batch 2 of 2026-03-03 09:00 UTC, 500 new: 480 sent, 20 failed.",
        "Batch 3 of 2026-03-04 09:00 UTC, 500 new: 500 queued.",
        sentence,
    ]


def test_a_first_batch_is_shown_while_others_wait_for_theirs() -> None:
    """One batch alone is shown only if rows wait for a later one."""
    summary = Summary("trial", {}, waiting={Waiting.BATCH: 100})
    assert standing(summary, BATCHES[:1]) == [
        "Batch 2 of 2026-03-03 09:00 UTC, 500 new: 480 sent, 20 failed.",
        "Waiting: 100 for a later batch.",
    ]


def test_the_same_is_told_as_objects() -> None:
    """The objects have the numbers by name, and instants in ISO 8601."""
    summary = Summary("trial", {}, waiting={Waiting.DUE: 4}, next_due=START, steps=STEPS)
    assert as_objects(summary, BATCHES[:1]) == {
        "waiting": {"due": 4},
        "next_due": "2026-03-03T09:00:00.000+00:00",
        "quota": None,
        "steps": {"first": {"queued": 2000, "sent": 8000}, "second": {"queued": 10_000}},
        "batches": [{"number": 2, "at": "2026-03-03T09:00:00.000+00:00", "size": 500, "sent": 480, "failed": 20}],
    }
