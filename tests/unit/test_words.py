"""What is kept of a server's words: one line that is safe to print, without any token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.words import LONGEST, printable, receipt, redacted

TOKEN = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzaXQiOiJzaXRfMSJ9." + "aB3-_" * 60


@given(st.text())
def test_words_are_one_printable_line(text: str) -> None:
    """Any text from a server becomes one line of at most 200 characters, without control, bidi or invisible ones."""
    found = receipt(550, text)
    assert found.text.isprintable()
    assert found.enhanced.isprintable()
    assert len(found.text) <= LONGEST
    assert "  " not in found.text


@given(st.text(), st.text(max_size=50))
def test_an_enhanced_code_of_the_server_is_kept_short(text: str, code: str) -> None:
    """An error code given apart, as Clerk does, is kept on one line and cut to a short length."""
    found = receipt(404, text, enhanced=code * 3)
    assert found.enhanced.isprintable()
    assert len(found.enhanced) <= 60


@pytest.mark.parametrize(
    ("said", "enhanced", "text"),
    [
        ("5.1.1 No such user", "5.1.1", "No such user"),
        ("4.7.650  unusual rate", "4.7.650", "unusual rate"),
        ("5.1.1", "5.1.1", ""),
        ("No such user 5.1.1", "", "No such user 5.1.1"),
        ("5.1.1x No", "", "5.1.1x No"),
        ("9.1.1 No", "", "9.1.1 No"),
        ("", "", ""),
    ],
)
def test_the_enhanced_code_is_taken_out_of_the_text(said: str, enhanced: str, text: str) -> None:
    """An enhanced status code (RFC 3463) at the start of the text is returned apart from it."""
    found = receipt(550, said)
    assert (found.enhanced, found.text) == (enhanced, text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\r\ntwo\tthree", "one two three"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("moc.elpmaxe\u202e@ada", "moc.elpmaxe @ada"),
        ("zero\u200bwidth\x00nul", "zero width nul"),
        ("  Grüße, 世界  ", "Grüße, 世界"),
    ],
)
def test_nothing_steers_the_terminal(text: str, shown: str) -> None:
    """Line breaks, escape sequences and marks that reorder a line become spaces."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    "said",
    [
        f"refused: https://acme.example/welcome?token={TOKEN}",
        f"refused: https://acme.example/welcome?a=1&token={TOKEN}&b=2 by policy",
        f"refused: <https://acme.example/w?token={TOKEN}>",
        f"refused: 'https://acme.example/w;token={TOKEN}'",
        f"refused: https://acme.example/w#token={TOKEN}",
        f"the body holds {TOKEN}, which looks odd",
        f"x{TOKEN}y",
        f"5.7.1 {TOKEN}",
        f"{'long ' * 39}{TOKEN}",
        "?" + TOKEN[:40],
    ],
)
def test_a_token_that_a_server_quotes_is_not_kept(said: str) -> None:
    """If a server quotes the message that it refuses, the token in it is not kept."""
    kept = str(receipt(550, said))
    longest = max(len(part) for part in kept.split())
    assert not any(TOKEN[start : start + 20] in kept for start in range(0, len(TOKEN) - 20, 7))
    assert longest < 60


@pytest.mark.parametrize("length", [1, 3, 5, 8, 30, 47])
@pytest.mark.parametrize("between", [" ", "\r\n ", "=\r\n", " / ", "'  '"])
def test_a_secret_that_a_server_quotes_in_pieces_is_not_kept(length: int, between: str) -> None:
    """However a server cuts the secret that it was told, none of its pieces is kept, but the words around it are."""
    secret = TOKEN[40:90]
    pieces = between.join(secret[start : start + length] for start in range(0, len(secret), length))
    kept = str(receipt(550, f"5.7.1 We refuse ({pieces}) by policy", secrets=(secret,)))
    assert kept == "550 5.7.1 We refuse (…) by policy"


@given(st.text(), st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1))
def test_no_piece_of_a_secret_is_kept(text: str, secret: str) -> None:
    """Whatever a server says, what is kept has no eight characters of the secret in a row."""
    kept = redacted(f"{text}{secret}{text}", (secret,))
    assert not any(secret[start : start + 8] in kept for start in range(len(secret) - 7))


def test_the_words_around_a_token_stay() -> None:
    """Removing a token keeps the words around it, which a person needs to understand the refusal."""
    said = f"5.7.1 The URL https://acme.example/welcome?token={TOKEN} is on a block list"
    assert receipt(554, said).text == "The URL https://acme.example/welcome?… is on a block list"


def test_a_reply_reads_as_one_line() -> None:
    """A receipt is printed as code, enhanced code and text."""
    assert str(receipt(550, "5.1.1 No such user")) == "550 5.1.1 No such user"
    assert str(receipt(250, "")) == "250"
