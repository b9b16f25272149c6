"""Conditions: an expression over a row is true or false, or an error that says what to write instead."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.errors import RowError, RowTooLargeError, TemplateError
from campaign.message.expression import Condition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

WHERE = "shop.toml:5: [recipients] where"
ROW: Mapping[str, Any] = {
    "plan": "pro",
    "total": "50.10",
    "vip": "no",
    "joined_at": "2026-11-01T08:00:00Z",
    "empty": "",
    "items": [{"price": "1.5", "colour": "red"}, {"price": "2", "colour": "blue"}],
}


def read_time(text: str, _row: Mapping[str, Any]) -> datetime:
    """Return the time of a text, in UTC if it names no zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RowError(f"{text!r} is not a time.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def condition(source: str) -> Condition:
    """Return a condition."""
    return Condition(source, where=WHERE, read_time=read_time)


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("plan == 'pro' and total | number > 50", True),
        ("plan == 'pro' and not (vip == 'yes' or total | number < 51)", False),
        ("total | number == 50.1", True),
        ("total | number - 0.1 == 50", True),
        ("total | number * 0.9 > 45.08", True),
        ("total | number / 2 > 25.05", False),
        ("1 < total | number <= 50.1", True),
        ("plan in ['pro', 'team'] and 'ro' in plan and 'x' not in plan", True),
        ("joined_at | date >= '2026-11-01' | date and (joined_at | date).year == 2026", True),
        ("joined_at | date > '2026-11-01T09:00+01:00' | date", False),
        ("empty == ''", True),
        ("items | length == 2 and items | map(attribute='price') | map('number') | sum == 3.5", True),
        ("(plan if vip == 'yes' else 'none') == 'none'", True),
        ("plan | upper == 'PRO'\n and vip | default('x') != 'x'", True),
        ("true", True),
    ],
)
def test_a_condition_holds_or_not(source: str, holds: bool) -> None:
    """A condition is the value of its expression, with numbers as exact decimals and times as instants."""
    assert condition(source).is_true(ROW) is holds


@given(st.decimals(0, 10**6, places=2), st.decimals(0, 10**6, places=2))
def test_numbers_compare_as_they_are_written(cell: Decimal, bound: Decimal) -> None:
    """A number of a cell and one of the expression compare as decimals, never as binary fractions."""
    row = {"total": str(cell)}
    assert condition(f"total | number == {bound}").is_true(row) is (cell == bound)
    assert condition(f"total | number < {bound}").is_true(row) is (cell < bound)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("total > 20", "Text ('50.10') is compared with a number ('20')"),
        ("total == 50.1", "write NAME | number to make a number of it"),
        ("20 < total", "A number ('20') is compared with text ('50.10')"),
        ("total in [20, 50]", "Text ('50.10') is compared with a number ('20')"),
        ("5 in plan", "A number cannot be in a text"),
        ("vip == true", """compare it with a text, as in NAME == "yes\""""),
        ("empty == none", 'a missing value is the empty text: write NAME == ""'),
        ("joined_at | date > '2026-10-01'", "write NAME | date to make a time of it"),
        ("joined_at | date > 3", "compare values of one kind"),
        ("vip", "Text ('no') is neither true nor false; compare it, as in vip == 'yes'"),
        ("not vip", "Text ('no') is neither true nor false"),
        ("vip and plan == 'pro'", "Text ('no') is neither true nor false"),
        ("plan == 'pro' and vip", "Text ('no') is neither true nor false"),
        ("'a' == 'b' if vip else 'a' == 'a'", "Text ('no') is neither true nor false"),
        ("total | number", "is neither true nor false"),
        ("items[0].pric == '3'", "There is no pric here; did you mean price?"),
        ("''.__class__.__mro__ == 'x'", "__class__"),
    ],
)
def test_what_would_be_wrong_without_a_word_is_an_error(source: str, says: str) -> None:
    """Text that meets a number, a time or a test is an error of the expression, and not False."""
    with pytest.raises(TemplateError) as caught:
        condition(source).is_true(ROW)
    assert not isinstance(caught.value, RowError)
    assert str(caught.value).startswith(f"{WHERE}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("plan | number > 3", "'pro' is not a plain number"),
        ("plan | date > joined_at | date", "'pro' is not a time"),
        ("colour == 'red'", "colour is not the same in all rows of this group"),
        ("total | number / (vip | length - 2) > 3", "A number is divided by zero"),
    ],
)
def test_a_value_that_cannot_be_read_concerns_its_row(source: str, says: str) -> None:
    """What only the values of a row make impossible is an error of the row."""
    with pytest.raises(RowError, match=WHERE.replace("[", r"\[")) as caught:
        condition(source).is_true(ROW)
    assert says in str(caught.value)


@pytest.mark.parametrize("source", ["'x' * 10**9 == 'y'", "total | center(1000000000) == 'y'"])
def test_an_expression_cannot_fill_the_memory(source: str) -> None:
    """An expression is held by the limits of size and work, as a template is."""
    with pytest.raises(RowTooLargeError):
        condition(source).is_true(ROW)


def test_the_work_is_counted_for_each_row() -> None:
    """The work of one row is not counted against the next."""
    costly = condition("(plan * 60000) | length > 5")
    assert all(costly.is_true(ROW) for _ in range(200))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("plan = 'pro'", "= is not expected here"),
        ("plan ==", "write an expression, such as"),
        ("", "write an expression, such as"),
        ("plan == 'x' }} {% for %}", "is not expected here"),
        ("{{ plan == 'pro' }}", "write an expression, such as"),
        ("plan == 'pro' && total", "Unexpected char '&'"),
        ("total | nummer > 3", "There is no filter nummer; did you mean number?"),
        ("(total | nummer if plan == 'x' else 3) == 3", "There is no filter nummer; did you mean number?"),
        ("plan is stringy", "There is no test stringy; did you mean string?"),
        ("plan | money == '3'", "There is no filter money; "),
    ],
)
def test_a_malformed_expression_is_refused_at_once(source: str, says: str) -> None:
    """An expression that no row could satisfy is refused before any row is read."""
    with pytest.raises(TemplateError) as caught:
        condition(source)
    assert str(caught.value).startswith(f"{WHERE}: ")
    assert says in str(caught.value)


def test_a_missing_column_is_named_with_the_nearest_one() -> None:
    """A name that is no column is an error, also where no row would reach it."""
    with pytest.raises(TemplateError, match=r"no column totl; did you mean total\? The columns are plan, "):
        condition("plan == 'x' and totl | number > 3").require_columns(["total", "plan"])
    condition("plan == 'x' and range(3) | length == 3").require_columns(["total", "plan"])
