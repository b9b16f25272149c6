"""Parsing SMTP replies: bytes become replies however they are split, and anything else is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.smtp.replies import MalformedReplyError, Reply, ReplyReader

words = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30)
lines = st.lists(words, min_size=1, max_size=4)
codes = st.integers(200, 599)


def wire(code: int, texts: list[str], end: str = "\r\n") -> bytes:
    """Return a reply of several lines as a server sends it (RFC 5321 §4.2)."""
    marks = ["-"] * (len(texts) - 1) + [" "]
    return "".join(f"{code}{mark}{text}{end}" for mark, text in zip(marks, texts, strict=True)).encode()


def fed(data: bytes, cuts: list[int]) -> list[Reply]:
    """Return the replies parsed from bytes that arrive in pieces, cut at these positions."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    reader, replies = ReplyReader(), list[Reply]()
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        replies += reader.feed(data[start:end])
    return replies


@given(st.lists(st.tuples(codes, lines, st.sampled_from(["\r\n", "\n"])), max_size=5), st.lists(st.integers(0, 2000)))
def test_replies_are_the_same_however_they_are_cut(sent: list[tuple[int, list[str], str]], cuts: list[int]) -> None:
    """However the bytes are split or joined, the same replies are parsed in the same order."""
    data = b"".join(wire(code, texts, end) for code, texts, end in sent)
    found = fed(data, cuts)
    assert [reply.code for reply in found] == [code for code, _, _ in sent]
    assert [reply.text for reply in found] == [reply.text for reply in fed(data, [])]


@given(codes, lines)
def test_the_text_of_all_lines_is_kept(code: int, texts: list[str]) -> None:
    """A reply's text contains the text of all its lines, in order."""
    (reply,) = fed(wire(code, texts), [])
    assert reply.text.split() == " ".join(texts).split()


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_any_bytes_are_replies_or_an_error(data: bytes, cuts: list[int]) -> None:
    """Any bytes give replies with a code of RFC 5321, or a single kind of error."""
    try:
        replies = fed(data, cuts)
    except MalformedReplyError:
        return
    assert all(200 <= reply.code <= 599 for reply in replies)


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (b"250 Ok\r\n", 250, "Ok"),
        (b"250\r\n", 250, ""),
        (b"250 \r\n", 250, ""),
        (b"250-one\r\n250 two\r\n", 250, "one two"),
        (b"250-one\r\n250\r\n", 250, "one"),
        (b"550 caf\xc3\xa9 \xff\r\n", 550, "café \ufffd"),
        (b"354 go on\n", 354, "go on"),
    ],
)
def test_forms_of_a_reply(data: bytes, code: int, text: str) -> None:
    """All forms of reply that servers use are parsed."""
    (reply,) = fed(data, [])
    assert (reply.code, reply.text.strip()) == (code, text)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"hello\r\n",
        b"25 Ok\r\n",
        b"2500 Ok\r\n",
        b"250Ok\r\n",
        b"199 no\r\n",
        b"600 no\r\n",
        b"250-one\r\n251 two\r\n",
        b"250-one\r\ntwo\r\n",
        b" 250 Ok\r\n",
        b"\xb2\xb5\xb0 Ok\r\n",
        b"<html>\r\n",
        b"\x16\x03\x01\x02\x00\n",
    ],
)
def test_what_is_no_reply_is_an_error(data: bytes) -> None:
    """A line that is not a reply is an error."""
    with pytest.raises(MalformedReplyError):
        fed(data, [])


@pytest.mark.parametrize(
    "line",
    [b"250-and so on\r\n", b"250-\r\n", b"a", b"250-" + b"a" * 9000 + b"\r\n"],
    ids=["text", "empty", "no end", "long"],
)
def test_memory_is_bounded(line: bytes) -> None:
    """A reply or a line that does not end is an error before it uses much memory."""
    reader, chunk = ReplyReader(), line * 600
    with pytest.raises(MalformedReplyError):
        _ = [list(reader.feed(chunk)) for _ in range(200)]


def test_replies_before_the_nonsense_are_not_lost() -> None:
    """A complete reply is returned even if invalid bytes follow in the same packet."""
    reader, replies = ReplyReader(), list[Reply]()
    with pytest.raises(MalformedReplyError):
        replies.extend(reader.feed(b"250 Ok: queued\r\nnonsense\r\n"))
    assert [reply.code for reply in replies] == [250]


def test_a_receipt_holds_the_servers_words() -> None:
    """A receipt contains the code, the enhanced code and the text of a reply."""
    (reply,) = fed(b"550-5.1.1 No such user\r\n550 5.1.1 here\r\n", [])
    assert str(reply.receipt) == "550 5.1.1 No such user 5.1.1 here"
