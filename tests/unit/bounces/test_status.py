"""What a status code means for the recipient."""

from __future__ import annotations

import pytest

from campaign.bounces.report import Kind
from campaign.bounces.status import STATUS, classify


@pytest.mark.parametrize(
    ("statuses", "words", "kind"),
    [
        (("5.1.1",), "", Kind.HARD),
        (("5.1.2",), "", Kind.HARD),
        (("5.1.10",), "", Kind.HARD),
        (("5.2.1",), "", Kind.HARD),
        (("5.2.2",), "", Kind.SOFT),
        (("4.2.2",), "", Kind.SOFT),
        (("4.1.1",), "", Kind.SOFT),
        (("5.4.4",), "", Kind.SOFT),
        (("5.0.0",), "", Kind.SOFT),
        ((), "", Kind.SOFT),
        (("5.6.0",), "", Kind.REJECTED),
        (("5.7.1",), "", Kind.REJECTED),
        (("5.7.515",), "", Kind.REJECTED),
        (("5.1.7",), "", Kind.REJECTED),
        (("5.1.8",), "", Kind.REJECTED),
        (("5.1.20",), "", Kind.REJECTED),
        (("5.1.90",), "", Kind.REJECTED),
        (("5.3.4",), "", Kind.REJECTED),
        (("5.0.0", "5.1.1"), "", Kind.HARD),
        (("5.1.1", "5.3.0"), "", Kind.HARD),
        (("5.1.1", "5.7.1"), "", Kind.REJECTED),
        (("5.1.1", "4.2.2"), "", Kind.SOFT),
        (("5.2.2", "5.7.1"), "", Kind.REJECTED),
        (("5.1.1",), "blocked: listed in a DNSBL", Kind.REJECTED),
        (("5.2.1",), "receives mail at a rate that is too high", Kind.SOFT),
        (("5.7.1",), "User unknown", Kind.REJECTED),
        (("5.2.2",), "User unknown", Kind.SOFT),
    ],
)
def test_the_mildest_code_decides(statuses: tuple[str, ...], words: str, kind: Kind) -> None:
    """5.1.x and 5.2.1 are hard unless another code or the server's words say otherwise; nothing makes others hard."""
    assert classify(*statuses, words=words) is kind


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("550 5.1.1 unknown", ["5.1.1"]),
        ("550-5.1.1 unknown", ["5.1.1"]),
        ("no mailbox (#5.1.1)", ["5.1.1"]),
        ("550-'5.1.1 unknown'", ["5.1.1"]),
        ("5.7.515.", ["5.7.515"]),
        ("host 5.1.1.9 or 192.5.1.1", []),
        ("version 5.1.1a, v5.1.1, 15.1.1, Exim 4.94.2", []),
        ("3.1.1 9.1.1 5.9.1", []),
    ],
)
def test_a_code_stands_on_its_own(text: str, found: list[str]) -> None:
    """A status code is found in text, and parts of addresses and versions are not taken for one."""
    assert STATUS.findall(text) == found
