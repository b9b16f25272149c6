"""How far steps and batches are, in lines and as objects."""

from __future__ import annotations

from campaign.model import Batch, Status, Waiting
from campaign.reporting.standing import as_objects, standing
from campaign.sendlog import BatchCounts, Summary

START = 1_772_528_400.0  # 2026-03-03 09:00 UTC
STEPS = {"first": {Status.SENT: 8000, Status.QUEUED: 2000}, "second": {Status.QUEUED: 10_000}}
BATCHES = [
    BatchCounts(Batch(2, START, 500), {Status.SENT: 480, Status.FAILED: 20}),
    BatchCounts(Batch(3, START + 86_400, 500), {Status.QUEUED: 500}),
]


def test_nothing_is_said_of_one_batch() -> None:
    """A campaign in one batch and without steps gets no line."""
    assert standing(Summary("trial", {Status.SENT: 3}), BATCHES[:1]) == []


def test_each_step_and_batch_is_a_line() -> None:
    """A line has the counts of a step, or the time, the size and the counts of a batch."""
    assert standing(Summary("trial", {}, steps=STEPS), BATCHES) == [
        "Step first: 2,000 queued, 8,000 sent.",
        "Step second: 10,000 queued.",
        "Batch 2 of 2026-03-03 09:00 UTC, 500 new: 480 sent, 20 failed.",
        "Batch 3 of 2026-03-04 09:00 UTC, 500 new: 500 queued.",
    ]


def test_a_first_batch_is_shown_while_others_wait_for_theirs() -> None:
    """One batch alone is shown only if rows wait for a later one."""
    summary = Summary("trial", {}, waiting={Waiting.BATCH: 100})
    assert standing(summary, BATCHES[:1]) == [
        "Batch 2 of 2026-03-03 09:00 UTC, 500 new: 480 sent, 20 failed.",
    ]


def test_a_csv_that_is_half_read_is_told() -> None:
    """While part of the rows of a CSV are counted that is read, the first line says so, and the objects."""
    summary = Summary("trial", {}, steps=STEPS, is_reading=True)
    first, *steps = standing(summary, [])
    assert first.startswith("A CSV is being read, or its reading was interrupted")
    assert len(steps) == len(STEPS)
    assert as_objects(summary, [])["reading"] is True


def test_the_same_is_told_as_objects() -> None:
    """The objects have the numbers by name, and instants in ISO 8601."""
    summary = Summary("trial", {}, waiting={Waiting.DUE: 4}, next_due=START, steps=STEPS)
    assert as_objects(summary, BATCHES[:1]) == {
        "waiting": {"due": 4},
        "next_due": "2026-03-03T09:00:00.000+00:00",
        "quota": None,
        "steps": {"first": {"queued": 2000, "sent": 8000}, "second": {"queued": 10_000}},
        "reading": False,
        "batches": [{"number": 2, "at": "2026-03-03T09:00:00.000+00:00", "size": 500, "sent": 480, "failed": 20}],
    }
