"""The encoding of bodies. Whole messages are tested in test_message.py."""

from __future__ import annotations

import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.message.mime import bodies

#: Text made of the characters that quoted-printable treats specially.
AWKWARD = st.text(st.sampled_from("aé€😀=.\t \n\0\x0b\x7fFrom _-?")) | st.lists(
    st.sampled_from([".", "From ", "x" * 73, "x" * 74, "x" * 75, "x" * 76, " ", "\t", "\n", "=", "é", "..", "😀"])
).map("".join)

#: Text whose lines are close to the maximum length.
LONG = st.lists(
    st.builds("{}{}".format, st.sampled_from(["", "é", "😀"]), st.integers(990, 1000).map("x".__mul__))
    | st.sampled_from(["", "x", "x" * 499]),
    max_size=6,
).map("\n".join)


@given(st.text() | AWKWARD)
def test_quoted_printable_is_undone_by_the_standard_library(text: str) -> None:
    """Quoted-printable decodes to the original text, and its lines need no change on the way."""
    text = bodies.with_newlines(text)
    encoded = bodies.quoted_printable(text)
    assert quopri.decodestring(encoded).decode() == text.replace("\n", "\r\n")
    for line in encoded.split(b"\r\n"):
        assert len(line) <= 76
        assert not line.startswith((b".", b"From "))
        assert not line.endswith((b" ", b"\t"))
        assert all(octet == 9 or 32 <= octet < 127 for octet in line)
    assert b"=_" not in encoded


@given(st.text() | AWKWARD | LONG)
def test_eight_bit_is_the_text_itself(text: str) -> None:
    """An 8bit body is the text in UTF-8 with CRLF, or 8bit is refused."""
    text = bodies.with_newlines(text)
    octets = bodies.eight_bit(text)
    if octets is None:
        assert "\0" in text or any(len(line.encode()) > 998 for line in text.split("\n"))
    else:
        assert octets == text.replace("\n", "\r\n").encode()
        assert b"\0" not in octets
        assert all(len(line) <= 998 for line in octets.split(b"\r\n"))


@pytest.mark.parametrize("text", ["a\0b", "é" * 500])
def test_eight_bit_is_refused(text: str) -> None:
    """Text with a NUL, or with a line of more than 998 bytes, cannot be sent as 8bit."""
    assert bodies.eight_bit(text) is None


def test_lone_surrogates_become_replacement_characters() -> None:
    """Lone surrogates become U+FFFD and do not raise."""
    assert bodies.utf8("a\ud800b") == "a\ufffdb".encode()


def test_all_line_breaks_become_newlines() -> None:
    """CRLF and CR become newlines, and no other character does."""
    assert bodies.with_newlines("a\r\nb\rc\nd\x0be\u2028f") == "a\nb\nc\nd\x0be\u2028f"
