"""Template filters for the cells of a CSV: `number` and `money`."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from campaign.errors import RowError

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,10})?")
_CENT = Decimal("0.01")
#: Characters of a cell that an error text shows.
_MAX_SHOWN_CHARS = 40


def is_number(text: str) -> bool:
    """Return whether `number` takes a text."""
    return _NUMBER.fullmatch(text.strip()) is not None


def number(value: object) -> Decimal:
    """Return the number in a cell as a Decimal; the cell holds digits, and a point before the fraction.

    Raises:
        RowError: the cell is not a plain number; thousands separators and exponents are not accepted.
    """
    if isinstance(value, Decimal):
        return value
    text = str(value).strip()
    if _NUMBER.fullmatch(text) is None:
        raise RowError(f"{shown(text)} is not a plain number; write digits and a decimal point, like 1234.50.")
    return Decimal(text)


def money(value: object, sign: str = "") -> str:
    """Return an amount with two decimals, rounded half up, after a currency sign: `€12.50`, `-€3.00`.

    Raises:
        RowError: the value is not a plain number.
    """
    try:
        amount = number(value).quantize(_CENT, ROUND_HALF_UP)
    except InvalidOperation:
        raise RowError("An amount of money has too many digits; correct it in the CSV.") from None
    return f"-{sign}{-amount}" if amount < 0 else f"{sign}{abs(amount)}"


def shown(text: str) -> str:
    """Return a value for an error text: quoted, printable and cut after 40 characters."""
    return repr(text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…")
