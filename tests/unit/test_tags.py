"""The tags of links and return paths: nobody can make one, change one, or use one kind as another."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.tags import Tags, new_key

TAGS = Tags({1: bytes(range(32))})
ROWS = st.integers(1, 2**40 - 1)
LISTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(row=ROWS, name=LISTS)
def test_an_unsubscribe_token_names_its_row_and_list(row: int, name: str) -> None:
    """The token has 34 letters that a URL's path may hold, and is true for its list only."""
    token = TAGS.unsubscribe_token(row, name)
    assert len(token) == 34
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")
    assert TAGS.row_in_token(token) == row
    assert TAGS.is_unsubscribe_token(token, name)
    assert not TAGS.is_unsubscribe_token(token, name + "x")


@given(row=ROWS)
def test_a_renewal_tag_names_its_row(row: int) -> None:
    """The tag has 34 letters that a URL may hold, names its row, and is no unsubscribe token of any list."""
    tag = TAGS.renewal_tag(row)
    assert len(tag) == 34
    assert set(tag) <= set(string.ascii_letters + string.digits + "-_")
    assert TAGS.open_renewal_tag(tag) == row
    assert not any(TAGS.is_unsubscribe_token(tag, name) for name in ("", "news", "renewal"))
    assert TAGS.open_renewal_tag(TAGS.unsubscribe_token(row, "renewal")) is None


@given(row=ROWS, generation=st.integers(0, 1000))
def test_a_bounce_tag_names_its_row_and_generation(row: int, generation: int) -> None:
    """The tag has 28 letters and digits of one case, and stays true if a mail server folds its case."""
    tag = TAGS.bounce_tag(row, generation)
    assert len(tag) == 28
    assert tag.isalnum()
    assert tag == tag.lower()
    assert TAGS.open_bounce_tag(tag) == TAGS.open_bounce_tag(tag.upper()) == (row, generation % 256)


@pytest.mark.parametrize("letter", range(34))
def test_no_letter_of_a_token_can_be_changed(letter: int) -> None:
    """A token or a renewal tag with one other letter, at any place, is not true, whatever the letter."""
    token = TAGS.unsubscribe_token(4711, "news")
    tag = TAGS.renewal_tag(4711)
    for other in {*map(chr, range(33, 127)), "é", " ", ""}:
        if other != token[letter]:
            assert not TAGS.is_unsubscribe_token(token[:letter] + other + token[letter + 1 :], "news")
        if other != tag[letter]:
            assert TAGS.open_renewal_tag(tag[:letter] + other + tag[letter + 1 :]) is None


@pytest.mark.parametrize("letter", range(28))
def test_no_letter_of_a_bounce_tag_can_be_changed(letter: int) -> None:
    """A tag with one other letter, at any place, opens nothing."""
    tag = TAGS.bounce_tag(4711, 3)
    for other in {*map(chr, range(33, 127)), "é", " ", ""} - {tag[letter], tag[letter].upper()}:
        assert TAGS.open_bounce_tag(tag[:letter] + other + tag[letter + 1 :]) is None


def test_foreign_and_random_tags_open_nothing() -> None:
    """A tag of another log, of another key or of random letters is not true, and neither kind serves as the other."""
    stranger = Tags({1: new_key()})
    assert not TAGS.is_unsubscribe_token(stranger.unsubscribe_token(7, "news"), "news")
    assert TAGS.open_bounce_tag(stranger.bounce_tag(7, 1)) is None
    assert TAGS.open_renewal_tag(stranger.renewal_tag(7)) is None
    assert not TAGS.is_unsubscribe_token(Tags({2: bytes(range(32))}).unsubscribe_token(7, "news"), "news")
    assert not TAGS.is_unsubscribe_token(TAGS.bounce_tag(7, 1), "news")
    assert TAGS.open_bounce_tag(TAGS.unsubscribe_token(7, "news")) is None
    letters, draw = string.ascii_letters + string.digits + "-_", random.Random(1)  # noqa: S311 - reproducible
    for _ in range(10_000):
        assert not TAGS.is_unsubscribe_token("".join(draw.choices(letters, k=34)), "news")
        assert TAGS.open_renewal_tag("".join(draw.choices(letters, k=34))) is None
        assert TAGS.open_bounce_tag("".join(draw.choices(string.ascii_lowercase + "234567", k=28))) is None


def test_tags_of_an_earlier_key_stay_true() -> None:
    """After a log got a second key, tags of the first one are still verified; new ones use the second."""
    token, tag = TAGS.unsubscribe_token(7, "news"), TAGS.bounce_tag(7, 1)
    both = Tags({1: bytes(range(32)), 2: new_key()})
    assert both.is_unsubscribe_token(token, "news")
    assert both.open_bounce_tag(tag) == (7, 1)
    assert both.open_renewal_tag(TAGS.renewal_tag(7)) == 7
    assert both.unsubscribe_token(7, "news") != token
