"""A key column that cannot be one is refused with the reason: rounded by a spreadsheet, or shared by most rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaign.config.definition import RecipientsSection
from campaign.errors import RecipientsError
from campaign.recipients import read_recipients

if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path, keys: list[str], *, group: str | None = None) -> int:
    """Return the number of rows of a CSV with these keys."""
    lines = [f'u{n}@example.com,"{key}",x' for n, key in enumerate(keys)]
    path = folder / "people.csv"
    path.write_text("\n".join(["email,Order,name", *lines]), "utf-8")
    section = RecipientsSection(file=path, key="order", group=group)
    return len(list(read_recipients(path, section, needs_user_id=False)))


@pytest.mark.parametrize("key", ["1.23457E+12", "1,23457E+12", "1E+15", "-4.2E+100"])
def test_a_key_that_a_spreadsheet_rounded_is_refused(tmp_path: Path, key: str) -> None:
    """A key in a spreadsheet's scientific notation has lost digits; the file is refused with the line of the first."""
    with pytest.raises(RecipientsError) as caught:
        read(tmp_path, ["1234567890123", key, "1234567890125"])
    assert str(caught.value).startswith(f'{tmp_path}/people.csv:3: the key Order is "{key}": a spreadsheet rounded it')
    assert "format this column as text" in str(caught.value)


@pytest.mark.parametrize("key", ["1.5", "12E+3", "E+12", "A1E+12", "1E5", "1.2.3E+12", "1E+1234"])
def test_a_key_with_an_e_is_a_key(tmp_path: Path, key: str) -> None:
    """A key that no spreadsheet writes for a number is accepted."""
    assert read(tmp_path, [key]) == 1


@pytest.mark.parametrize(
    "keys",
    [
        ["gold"] * 10,
        ["gold"] * 90 + [str(n) for n in range(10)],
        [str(n) for n in range(10)] + ["gold"] * 90,
        [key for n in range(20) for key in (str(n), "gold", "gold", "gold", "gold")],
    ],
)
def test_a_key_that_most_rows_share_is_refused(tmp_path: Path, keys: list[str]) -> None:
    """If most rows have one key, all but one of them would be left out; the file is refused and says what to write."""
    with pytest.raises(RecipientsError) as caught:
        read(tmp_path, keys)
    text = str(caught.value)
    assert text.startswith(f'{tmp_path}/people.csv:1: most of the {len(keys)} rows have the same key: Order is "gold"')
    assert "[recipients] key" in text
    assert 'group = "items"' in text


@pytest.mark.parametrize(
    ("keys", "group"),
    [
        (["gold"] * 9, None),
        (["a", "b"] * 50, None),
        ([str(n // 2) for n in range(100)], None),
        (["gold"] * 50, "items"),
    ],
)
def test_a_key_that_some_rows_share_is_a_key(tmp_path: Path, keys: list[str], group: str | None) -> None:
    """Some double rows, a small file and a grouped one are accepted."""
    with_addresses = read(tmp_path, keys, group=group)
    assert with_addresses == (1 if group else len(keys))
