"""Grouping: all rows that share a key become one recipient or one invalid row."""

from __future__ import annotations

import sqlite3
import tempfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.config.definition import RecipientsSection
from campaign.errors import RecipientsError
from campaign.model import InvalidRow, Recipient
from campaign.recipients import grouping, read_recipients
from campaign.recipients.grouping import grouped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HEADER = "email,user_id,cart_id,item,city"


def read(folder: Path, *rows: str) -> Sequence[Recipient | InvalidRow]:
    """Return the groups of a CSV with these rows."""
    path = folder / "carts.csv"
    path.write_text("\n".join([HEADER, *rows]), encoding="utf-8")
    return list(read_recipients(path, RecipientsSection(file=path, key="cart_id", group="items")))


def test_rows_that_share_a_key_are_one_recipient(tmp_path: Path) -> None:
    """A group has the list of its rows; columns that are equal in all of them are also plain variables."""
    (row,) = read(tmp_path, "ann@example.com,user_1,c1,Tea,Ulm", "Ann@Example.com,user_1,c1,Jam,Ulm")
    shared = {"user_id": "user_1", "cart_id": "c1", "city": "Ulm"}
    assert row == Recipient(
        key="c1",
        email="ann@example.com",
        user_id="user_1",
        variables={
            "email": "ann@example.com",
            **shared,
            "items": [
                {"email": "ann@example.com", **shared, "item": "Tea"},
                {"email": "Ann@example.com", **shared, "item": "Jam"},
            ],
        },
        line=2,
    )


def test_groups_stand_in_the_order_of_their_first_rows(tmp_path: Path) -> None:
    """Rows of a key are grouped wherever they stand, and the group has the position and line of its first row."""
    rows = read(
        tmp_path,
        "zoe@example.com,user_9,c9,a,x",
        "ann@example.com,user_1,c1,b,x",
        "zoe@example.com,user_9,c9,c,x",
        "",
        "bob@example.com,user_2,c0,d,x",
        "ann@example.com,user_1,c1,e,x",
    )
    assert [(row.key, row.line) for row in rows] == [("c9", 2), ("c1", 3), ("c0", 6)]
    assert [[item["item"] for item in row.variables["items"]] for row in rows if isinstance(row, Recipient)] == [
        ["a", "c"],
        ["b", "e"],
        ["d"],
    ]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("eve@example.com,user_1,c1,b,x", "line 2 and line 4 have the same key, but different addresses"),
        ("ann@example.com,user_2,c1,b,x", "line 2 and line 4 have the same key, but different user_ids"),
        ("ann@example.com,?,c1,b,x", "Line 4 is in the same group: The user_id is not"),
        ("ann@example.com,user_1,c1", "Line 4 is in the same group: The row has 3 cells"),
        ("ann@example.com,user_1,c1,\x07,x", "Line 4 is in the same group: The cell item"),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_group_is_whole_or_invalid(tmp_path: Path, second: str, words: str, *, swapped: bool) -> None:
    """If one row of a group has a fault or another person, the whole group is one invalid row, and no other group."""
    pair = ["ann@example.com,user_1,c1,a,x", second]
    first, last = reversed(pair) if swapped else pair
    bad, good = read(tmp_path, first, "bob@example.com,user_2,c2,d,x", last)
    assert isinstance(bad, InvalidRow)
    assert (bad.key, bad.line) == ("c1", 2)
    assert (words.removeprefix("Line 4 is in the same group: ") if swapped else words) in bad.reason
    assert isinstance(good, Recipient)


def test_rows_without_a_key_are_no_group(tmp_path: Path) -> None:
    """Each row without a key becomes an invalid row of its own."""
    rows = read(tmp_path, "a@example.com,user_1,,a,x", "b@example.com,user_2,,b,x")
    assert [(type(row), row.line) for row in rows] == [(InvalidRow, 2), (InvalidRow, 3)]


def test_the_name_of_a_group_is_its_own(tmp_path: Path) -> None:
    """A group name that equals a column's name is refused."""
    path = tmp_path / "carts.csv"
    path.write_text(f"{HEADER}\nann@example.com,user_1,c1,a,x\n")
    with pytest.raises(RecipientsError, match='group is "Item"'):
        list(read_recipients(path, RecipientsSection(file=path, key="cart_id", group="Item")))


def test_a_key_that_nearly_all_rows_share_is_no_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that is too large for one email is invalid and does not fill the memory."""
    monkeypatch.setattr(grouping, "_MAX_GROUP_BYTES", 10_000)
    (row,) = read(tmp_path, *["ann@example.com,user_1,c1,a,x"] * 200)
    assert isinstance(row, InvalidRow)
    assert "right key" in row.reason


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=30))
def test_no_row_is_lost(people: list[tuple[str, bool]]) -> None:
    """Every row is in exactly one group, and groups follow the order of the file."""
    rows = [
        Recipient(key, f"{key}@example.com", None, {"email": f"{key}@example.com", "line": str(line)}, line)
        if good
        else InvalidRow(key, "", None, "Wrong.", line)
        for line, (key, good) in enumerate(people, start=2)
    ]
    found = list(grouped(rows, "items"))
    assert [row.key for row in found] == list(dict.fromkeys(key for key, _ in people))
    for row in found:
        lines = [line for line, (key, _) in enumerate(people, start=2) if key == row.key]
        assert row.line == lines[0]
        if isinstance(row, Recipient):
            assert [item["line"] for item in row.variables["items"]] == [str(line) for line in lines]
        else:
            assert not all(good for key, good in people if key == row.key)


def test_the_rows_on_disk_are_private_and_gone_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary file of the rows is readable only by its owner, and is deleted also if reading stops early."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    person = Recipient("a", "a@example.com", None, {"email": "a@example.com"}, 2)
    groups = grouped([person, Recipient("b", "b@example.com", None, {"email": "b@example.com"}, 3)], "items")
    next(groups)
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    assert list(folder.iterdir())
    groups.close()  # type: ignore[attr-defined] # it is a generator
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk is full, the error says where to free space."""

    def full(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(RecipientsError, match="TMPDIR"):
        list(grouped([], "items"))
