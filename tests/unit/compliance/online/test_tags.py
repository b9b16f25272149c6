"""The tag lists of DKIM and DMARC records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.compliance.online.tags import parse_tags


@pytest.mark.parametrize(
    ("record", "tags", "faults"),
    [
        ("v=DKIM1; k=rsa; p=AB C=", {"v": "DKIM1", "k": "rsa", "p": "AB C="}, []),
        (" V = DMARC1 ;P=none;", {"v": "DMARC1", "p": "none"}, []),
        ("p=", {"p": ""}, []),
        ("", {}, []),
        ("v=1; nonsense; p=a", {"v": "1", "p": "a"}, ["'nonsense' is not tag=value"]),
        ("p=a; p=b", {"p": "a"}, ["p occurs twice"]),
        ("=x", {}, ["'=x' is not tag=value"]),
    ],
)
def test_the_tags_of_a_record(record: str, tags: dict[str, str], faults: list[str]) -> None:
    """Tags come in order with lower-case names; what is malformed is told and left out."""
    assert parse_tags(record) == (tags, faults)


@given(st.text())
def test_any_record_is_read(record: str) -> None:
    """Any text gives tags, or faults that can be printed."""
    _, faults = parse_tags(record)
    assert all(fault.isprintable() for fault in faults)
