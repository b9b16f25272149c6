"""The counts of a bounce mailbox."""

from __future__ import annotations

import pytest

from campaign.bounces.counts import Counts
from campaign.bounces.report import Kind, Report

TAGS = ("abcdefghijklmnopqrstuvwxyz23",)


@pytest.mark.parametrize(
    ("kind", "tags", "is_ours", "counted"),
    [
        (Kind.HARD, TAGS, True, "bounced"),
        (Kind.SOFT, TAGS, True, "soft"),
        (Kind.REJECTED, TAGS, True, "rejected"),
        (Kind.COMPLAINT, TAGS, True, "complaints"),
        (Kind.HARD, (), False, "not ours"),
        (Kind.COMPLAINT, (), False, "not ours"),
        (Kind.HARD, TAGS, False, "forged"),
        (Kind.COMPLAINT, TAGS, False, "forged"),
        (Kind.NOT_UNDERSTOOD, TAGS, True, "not understood"),
        (Kind.NOT_UNDERSTOOD, (), False, "not understood"),
        (Kind.DELAYED, TAGS, True, "no action"),
        (Kind.DELIVERED, TAGS, True, "no action"),
        (Kind.NOTICE, TAGS, True, "no action"),
        (Kind.AUTO_REPLY, TAGS, False, "no action"),
        (Kind.NOT_A_REPORT, (), False, "no action"),
    ],
)
def test_a_mail_is_counted_once(kind: Kind, tags: tuple[str, ...], is_ours: bool, counted: str) -> None:
    """Each mail goes into exactly one count; one that is read too early is not among them."""
    counts = Counts()
    counts.add(Report(kind, tags), is_ours=is_ours)
    assert {name: number for name, number, _ in counts.rows() if number} == {counted: 1}
    assert counts.needs_a_look is (counted in {"forged", "not understood"})


def test_every_kind_can_be_counted() -> None:
    """No kind is left out, whether its tag is true or not, and a repeated report has a count of its own."""
    counts = Counts()
    for kind in Kind:
        counts.add(Report(kind, TAGS), is_ours=True)
        counts.add(Report(kind), is_ours=False)
    counts.add_repeated()
    assert sum(number for _, number, _ in counts.rows()) == 2 * len(Kind) + 1
