"""Files are taken up when they have changed and are whole, each change once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from campaign.watching.file_watch import QUIET_S, SETTLED_S, UNENDED_S, FileWatch

if TYPE_CHECKING:
    from pathlib import Path


class Ticks:
    """The machine's time, which stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_900_000_000.0

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    """A clock of the test."""
    return Ticks()


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """A CSV with one row."""
    path = tmp_path / "people.csv"
    path.write_text("email\nada@example.com\n", encoding="utf-8")
    return path


@pytest.fixture
def watch(ticks: Ticks, csv: Path) -> FileWatch:
    """A watch of the CSV."""
    found = FileWatch(ticks)
    found.follow([csv], lists=[csv])
    return found


def renamed_into_place(path: Path, text: str) -> None:
    """Replace a file as a careful program does."""
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.rename(path)


def seconds_until_taken(watch: FileWatch, ticks: Ticks, path: Path) -> float:
    """Return after how many seconds a change is reported, looking twice a second for a minute."""
    began = ticks.now
    while ticks.now < began + 60:
        if watch.look() == {path}:
            return ticks.now - began
        ticks.now += 0.5
    raise AssertionError("never")


def test_a_file_that_does_not_change_is_not_reported(watch: FileWatch, ticks: Ticks) -> None:
    """What was there when the watch began is known."""
    for _ in range(100):
        assert watch.look() == set()
        ticks.now += 1


def test_a_renamed_file_is_taken_when_it_settled(watch: FileWatch, ticks: Ticks, csv: Path) -> None:
    """A file that was renamed into place is reported after a second, once."""
    renamed_into_place(csv, "email\nada@example.com\nbob@example.com\n")
    assert seconds_until_taken(watch, ticks, csv) == SETTLED_S
    ticks.now += 60
    assert watch.look() == set()


def test_a_file_written_in_place_is_taken_when_it_is_quiet(watch: FileWatch, ticks: Ticks, csv: Path) -> None:
    """Each further write begins the wait anew, so that a file is not read while it grows."""
    for number in range(10):
        with csv.open("a", encoding="utf-8") as file:
            file.write(f"u{number}@example.com\n")
        assert watch.look() == set()
        ticks.now += QUIET_S - 0.5
    assert seconds_until_taken(watch, ticks, csv) == 0.5


@pytest.mark.parametrize("replaced", [True, False])
def test_a_half_written_line_is_waited_for(watch: FileWatch, ticks: Ticks, csv: Path, *, replaced: bool) -> None:
    """A CSV whose last line has no end, which may be half an address, is taken after half a minute."""
    text = "email\nada@example.com\nbob@exam"
    if replaced:
        renamed_into_place(csv, text)
    else:
        csv.write_text(text, encoding="utf-8")
    assert seconds_until_taken(watch, ticks, csv) == UNENDED_S


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_line_end_in_utf_16_is_one(watch: FileWatch, ticks: Ticks, csv: Path, encoding: str) -> None:
    """A CSV in UTF-16 does not wait for a line end that it has."""
    csv.write_bytes("\ufeffemail\nbob@example.com\n".encode(encoding))
    assert seconds_until_taken(watch, ticks, csv) == QUIET_S


def test_a_template_needs_no_line_end(ticks: Ticks, tmp_path: Path) -> None:
    """Only CSVs wait for the end of their last line."""
    template = tmp_path / "email.html"
    template.write_text("<p>one</p>", encoding="utf-8")
    watch = FileWatch(ticks)
    watch.follow([template])
    template.write_text("<p>two</p>!", encoding="utf-8")
    assert seconds_until_taken(watch, ticks, template) == QUIET_S


def test_a_file_that_vanishes_and_returns_is_reported_twice(watch: FileWatch, ticks: Ticks, csv: Path) -> None:
    """A missing file is a change, and so is its return; a moment without it, as while it is replaced, is none."""
    aside = csv.with_suffix(".aside")
    csv.rename(aside)
    assert watch.look() == set()
    aside.rename(csv)
    ticks.now += 10
    assert watch.look() == set()
    csv.rename(aside)
    assert seconds_until_taken(watch, ticks, csv) == QUIET_S
    renamed_into_place(csv, "email\nada@example.com\n")
    assert seconds_until_taken(watch, ticks, csv) == SETTLED_S


def test_a_file_followed_again_keeps_what_is_known(watch: FileWatch, ticks: Ticks, csv: Path, tmp_path: Path) -> None:
    """A change is not lost when the list of files changes before it was taken."""
    renamed_into_place(csv, "email\nbob@example.com\n")
    assert watch.look() == set()
    watch.follow([csv, tmp_path / "more.csv"], lists=[csv])
    assert seconds_until_taken(watch, ticks, csv) == SETTLED_S


def test_an_old_csv_without_a_last_line_end_is_whole(watch: FileWatch, ticks: Ticks, csv: Path) -> None:
    """When a watch begins, a CSV whose last line has no end is read if it was written half a minute ago or more."""
    csv.write_text("email\nada@example.com", encoding="utf-8")
    os.utime(csv, (ticks.now - 1, ticks.now - 1))
    assert not watch.is_whole(csv)
    ticks.now += UNENDED_S
    assert watch.is_whole(csv)
    assert watch.is_whole(csv.with_suffix(".missing")), "who reads it says that it is missing"
