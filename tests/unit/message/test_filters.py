"""The template filters for cells."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.errors import TemplateError
from campaign.message.filters import money, number, shown


@pytest.mark.parametrize(("cell", "meant"), [("2", "2"), (" 14.50 ", "14.50"), ("-0.5", "-0.5"), (3, "3"), ("+7", "7")])
def test_a_plain_number_is_read(cell: object, meant: str) -> None:
    """Digits with a decimal point are read as exactly that number."""
    assert number(cell) == Decimal(meant)


@pytest.mark.parametrize("cell", ["", "1,234.50", "1e3", "NaN", "Infinity", "0x1", "1.", ".5", "٣", "1_000", "x" * 90])
def test_what_is_no_plain_number_is_refused(cell: str) -> None:
    """Text with separators, exponents or words is refused and not guessed at."""
    with pytest.raises(TemplateError, match="is not a plain number") as caught:
        number(cell)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [
        ("12.5", "€", "€12.50"),
        ("-3", "€", "-€3.00"),
        ("0.005", "", "0.01"),
        ("1.005", "$", "$1.01"),
        (Decimal("29.00"), "£", "£29.00"),
        ("-0.001", "€", "€0.00"),
    ],
)
def test_money_has_two_decimals(value: object, sign: str, text: str) -> None:
    """An amount is rounded half up to two decimals, with its sign before the currency sign."""
    assert money(value, sign) == text


@given(st.decimals(min_value=-(10**15), max_value=10**15, places=4))
def test_money_is_the_amount(value: Decimal) -> None:
    """The text is within half a cent of the amount."""
    assert abs(Decimal(money(value)) - value) <= Decimal("0.005")


def test_an_amount_beyond_all_money_is_refused() -> None:
    """A product of very long numbers is reported as an error."""
    with pytest.raises(TemplateError, match="too many digits"):
        money(number("9" * 20) * number("9" * 20))


def test_values_in_errors_are_short_and_printable() -> None:
    """An error shows at most 40 characters of a cell, on one line."""
    assert shown("a\n\x1b[31m") == "'a\\n\\x1b[31m'"
    assert len(shown("x" * 1000)) < 50
