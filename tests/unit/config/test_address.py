"""Address rules: only a single plain mailbox is accepted, and no address is repaired."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import email_validator
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from campaign.config import address
from campaign.config.address import normalise_address, normalise_domain

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Parts that combine into addresses at the edges of the rules.
PIECES = st.sampled_from(
    [
        *("a", "B", "9", "-", "--", "xn--", "xn--bcher-kva", ".", "..", "@", "@", "+", "_", "'", "!", "%", " ", "\n"),
        *("\t", '"', "<", "(", ",", ";", ":", "\\", "[", "ü", "ß", "\u3002", "\uff20", "\u0130", "\u212a", "\u200b"),
        *("localhost", "example", "com", "test", "local", "info", "a" * 30, "b" * 63, "c" * 64, "x." * 60, "1"),
    ]
)
LABELS = st.builds("{}{}{}".format, st.sampled_from("aX9"), st.text("bY0-", max_size=62), st.sampled_from("cZ8"))
DOMAINS = st.builds("{}.{}{}".format, st.lists(LABELS, min_size=1, max_size=4).map(".".join), LABELS, st.just("c"))
ATOMS = st.text("aZ09!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=40)
LOCALS = st.lists(ATOMS | st.just("info"), min_size=1, max_size=4).map(".".join)


@contextmanager
def no_special_domains() -> Iterator[None]:
    """Allow special-use domains, so that the library checks the syntax only."""
    special = email_validator.SPECIAL_USE_DOMAIN_NAMES
    email_validator.SPECIAL_USE_DOMAIN_NAMES = []
    try:
        yield
    finally:
        email_validator.SPECIAL_USE_DOMAIN_NAMES = special


@given(st.builds("{}@{}".format, LOCALS, DOMAINS))
@example("info@example.com")
@example("a@" + "b" * 63 + ".com")
@example("a" * 245 + "@example.com")
@example("a@b--c.com")
def test_the_short_cut_takes_only_what_the_library_takes_unchanged(text: str) -> None:
    """An address accepted by the fast path is also accepted by the library, and with the same result."""
    found = address._PLAIN.fullmatch(text)  # noqa: SLF001 - the fast path is what is tested
    assume(found is not None and not text.endswith("@localhost"))
    assume(len(text) <= address.MAX_LENGTH)
    with no_special_domains():
        by_library = email_validator.validate_email(text, allow_smtputf8=False, check_deliverability=False)
    local, _, domain = text.rpartition("@")
    assert normalise_address(text) == f"{local}@{domain.lower()}"
    assert by_library.ascii_domain == domain.lower()
    # The library writes `Info@` in lower case (RFC 2142); the program leaves the local part as it is.
    assert by_library.local_part in {local, local.lower()}


@given(st.lists(PIECES, max_size=12).map("".join) | st.text() | st.emails())
def test_an_address_has_one_form(text: str) -> None:
    """An accepted address is ASCII without spaces, has one @, keeps its local part, and is accepted again unchanged."""
    try:
        found = normalise_address(text)
    except ValueError:
        return
    assert found.isascii()
    assert found.isprintable()
    assert " " not in found
    assert found.count("@") == 1
    assert found.partition("@")[0] == text.rpartition("@")[0]
    assert normalise_address(found) == found


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann.Lee+tag@EXAMPLE.Com", "Ann.Lee+tag@example.com"),
        ("Info@example.com", "Info@example.com"),
        ("ann@example.test", "ann@example.test"),
        ("ann@mail.local", "ann@mail.local"),
        ("ann@localhost", "ann@localhost"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@straße.example", "ann@xn--strae-oqa.example"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("o'neil!#$%&*/=?^`{|}~@example.com", "o'neil!#$%&*/=?^`{|}~@example.com"),
    ],
)
def test_a_plain_mailbox_passes(text: str, form: str) -> None:
    """A plain mailbox is accepted; its domain becomes lower-case A-labels and its local part is kept."""
    assert normalise_address(text) == form


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "ann@example.c0",
        "@example.com",
        "ann@",
        "ann@example",
        "ann@test",
        "ann@example..com",
        "ann@-example.com",
        "ann@example.com.",
        "ann@[192.0.2.1]",
        "ann@192.0.2.1",
        "ann@example.123",
        ".ann@example.com",
        "ann..lee@example.com",
        " ann@example.com",
        "ann@example.com ",
        "ann@example.com\n",
        "ann@exam\u200bple.com",
        "ann@example.com\r\nBcc: eve@example.com",
        "ann lee@example.com",
        '"ann"@example.com',
        "Ann <ann@example.com>",
        "<ann@example.com>",
        "ann(work)@example.com",
        "ann@example.com, eve@example.com",
        "ann@example.com;eve@example.com",
        "ann@eve@example.com",
        "@relay.example:ann@example.com",
        "mailto:ann@example.com",
        "ann@exa_mple.com",
        "ann@ab--cd.com",
        "ann@xn--zzzzzz.com\x00",
        "ann\uff20example.com",
        "a" * 250 + "@example.com",
        "ann@" + "b" * 64 + ".com",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Names, comments, quotes, routes, lists, spaces and broken domains are refused and not repaired."""
    with pytest.raises(ValueError, match=r"\w"):
        normalise_address(text)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("\u200bada@example.com", "U+200B (ZERO WIDTH SPACE)"),
        ("ada\u00ad@example.com", "U+00AD (SOFT HYPHEN)"),
        ("ada@exam\u200bple.com", "U+200B (ZERO WIDTH SPACE)"),
        ("ada@example.com\ufeff", "U+FEFF (ZERO WIDTH NO-BREAK SPACE)"),
        ("a\u00a0da@example.com", "U+00A0 (NO-BREAK SPACE)"),
        ("\u202aada@example.com", "U+202A (LEFT-TO-RIGHT EMBEDDING)"),
    ],
)
def test_an_invisible_character_is_named(address: str, name: str) -> None:
    """An address with a character that one cannot see is refused for that character, and not for SMTPUTF8."""
    with pytest.raises(ValueError, match=re.escape(f"The address has an invisible character, {name}; delete it.")):
        normalise_address(address)


def test_a_local_part_beyond_ascii_is_refused_by_its_reason() -> None:
    """A non-ASCII local part is refused with SMTPUTF8 named."""
    with pytest.raises(ValueError, match="SMTPUTF8"):
        normalise_address("jörg@example.com")


def test_a_domain_is_judged_like_that_of_an_address() -> None:
    """A domain is returned in lower-case A-labels, and text that is not a domain is refused."""
    assert normalise_domain("Bücher.Example") == "xn--bcher-kva.example"
    for text in ("", "gmail", "a@example.com", "*.example.com", "exa mple.com"):
        with pytest.raises(ValueError, match=r"\w"):
            normalise_domain(text)
