"""Masking: a server's words without personal data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.reporting.masking import masked
from campaign.sendlog import Whose

ADA = Whose("ada.lovelace@acme.example", "customer-1815", "user_2abcDEF")
NONE = Whose("", "", None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("<ada.lovelace@acme.example>: User unknown", "<[address]>: User unknown"),
        ("ADA.LOVELACE@ACME.EXAMPLE unknown", "[address] unknown"),
        ("mailbox Ada.Lovelace is full", "mailbox [name] is full"),
        ("Clerk has no user with the id user_2abcDEF", "Clerk has no user with the id [id]"),
        ("customer-1815 is not welcome", "[id] is not welcome"),
        ("postmaster+1@other.example says no", "[address] says no"),
        ("token sit_123abc of user_999", "token [id] of [id]"),
        ("Ok: queued as 4F3A2B1C9D", "Ok: queued as […]"),
        ("rejected 1718042 a640c23a62f3a-x1", "rejected […] […]"),
        ("line 7: The user_id is empty.", "The user_id is empty."),
        ("duplicate: line 2 has the same key", "duplicate: another line has the same key"),
        ("given up after 5 attempts: 452 4.2.2 full", "given up after 5 attempts: 452 4.2.2 full"),
        ("see https://help.example/mail?p=NoSuchUser", "see https://help.example/mail?p=NoSuchUser"),
        ("", ""),
    ],
)
def test_what_is_told(words: str, told: str) -> None:
    """Addresses, local parts, keys, ids and serial numbers are replaced by placeholders; the rest stays."""
    assert masked(words, ADA) == told


@given(
    st.from_regex(r"[a-z][a-z0-9._+-]{2,20}[a-z0-9]@[a-z]{3,10}\.example", fullmatch=True),
    st.from_regex(r"user_[A-Za-z0-9]{6,20}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9 <>\"'(),;:.-]{0,20}", fullmatch=True),
    st.booleans(),
)
def test_nobody_is_left_in_the_words(email: str, user_id: str, around: str, loud: bool) -> None:
    """Whatever a server says, neither the row's own address nor its user's id is left."""
    words = f"{around} <{email}> {around} {user_id} {around}"
    told = masked(words.upper() if loud else words, Whose(email, user_id, user_id)).lower()
    assert email not in told
    assert user_id.lower() not in told


@given(st.text())
def test_any_words_can_be_told(words: str) -> None:
    """Any text can be masked, and masking it twice changes nothing more."""
    once = masked(words, NONE)
    assert masked(once, NONE) == once
