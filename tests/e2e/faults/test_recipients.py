"""Faults of the CSV: it is read correctly or refused with its line, and rows that cannot be mailed are reported."""

from __future__ import annotations

import csv
import io
import re
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from campaign.config.definition import RecipientsSection
from campaign.recipients import read_recipients
from support.environment import environment
from support.refusals import refused, table_of
from support.sendlog_helpers import opened
from support.servers.clerk_script import ClerkScript, Users

if TYPE_CHECKING:
    from pathlib import Path

FREE = '[limits]\ntokens = "1000/second"\n'
HEADER = ("user_id", "email", "first_name", "note")
NAMES = ("Zoë", "王小明", 'Ann "A", or; B')
PEOPLE = [
    {"user_id": f"user_{n}", "email": f"u{n}@d{n}.example", "first_name": name, "note": "x"}
    for n, name in enumerate(NAMES)
]


def table(*, delimiter: str = ",", end: str = "\n", quoting: int = csv.QUOTE_MINIMAL, note: str = "x") -> str:
    """Return the CSV of these people."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([HEADER, *([*list(person.values())[:3], note] for person in PEOPLE)])
    return text.getvalue()


READABLE = {
    "UTF-8 with a byte order mark": table().encode("utf-8-sig"),
    "UTF-16": table(end="\r\n").encode("utf-16"),
    "UTF-16, the other way round": ("\ufeff" + table(end="\r\n")).encode("utf-16-be"),
    "semicolons": table(delimiter=";", end="\r\n").encode(),
    "tabs and the line ends of old Macs": table(delimiter="\t", end="\r").encode(),
    "a line that names the delimiter": b"sep=;\r\n" + table(delimiter=";", end="\r\n").encode("utf-8"),
    "newlines in quotes": table(quoting=csv.QUOTE_ALL, note='one\r\ntwo\n"three"').encode(),
    "blanks and capitals in the header": table().replace(",".join(HEADER), "User_ID , Email ,First Name,Note").encode(),
    "blank rows": table().replace("\n", "\n\n,,,\n").encode(),
}


@pytest.mark.parametrize("what", READABLE)
def test_what_spreadsheets_write_is_read(what: str, tmp_path: Path) -> None:
    """In any encoding and form that spreadsheets save, each person of the CSV is addressed by the right name."""
    with environment(tmp_path, PEOPLE, more=FREE) as env:
        (tmp_path / "people.csv").write_bytes(READABLE[what])
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        assert {event["rcpt"][0]: event["subject"] for event in env.accepted} == {
            person["email"]: f"Hello {person['first_name']}" for person in PEOPLE
        }
        users = {token["token"]: token["user_id"] for token in env.tokens}
        for event in env.accepted:
            assert f"{users[event['tokens'][0]].replace('user_', 'u')}@" in event["rcpt"][0]
        assert len(env.tokens) == 3


#: What the file contains, and what the error names.
UNREADABLE: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "Latin-1": (table().replace("王小明", "Ng").encode("latin-1"), ("people.csv:2:", "UTF-8")),
    "cp1252": (table().replace("王小明", "\u2019").encode("cp1252"), ("people.csv:2:", "Windows-1252")),
    "UTF-16 without a byte order mark": (table().encode("utf-16-le"), ("people.csv", "UTF-16")),
    "a quote that never ends": (table().replace("Zoë", '"Zoë').encode(), ("people.csv:2:", "quote")),
    "no header": (b"", ("people.csv: the file is empty",)),
    "a header and nobody": (",".join(HEADER).encode() + b"\n", ("people.csv", "row")),
    "the same header twice": (table().replace("note", "email", 1).encode(), ("people.csv:1:", "same name")),
    "the same header in capitals": (table().replace("note", "EMAIL", 1).encode(), ("people.csv:1:", "same name")),
    "no header for the address": (table().replace("email", "E-mail", 1).encode(), ("people.csv:1:", '"email"')),
    "a blank header": (table().replace("note", " ", 1).encode(), ("people.csv:1:", "header")),
    "a title above the header": (b"All customers,,,\n" + table().encode(), ("people.csv:1:", "are on line 2")),
    "another separator": (table(delimiter="|").encode(), ("people.csv:1:", 'separated by "|"')),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_right_is_refused(what: str, tmp_path: Path) -> None:
    """A CSV that could only be guessed at is refused with the physical line, and no recipient is enlisted."""
    content, words = UNREADABLE[what]
    with environment(tmp_path, PEOPLE, more=FREE) as env:
        (tmp_path / "people.csv").write_bytes(content)
        refused(env.work.run(), *words)
        assert env.silent
        assert table_of(env.work.log, "delivery") == []


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("1.23457E+12", ("people.csv:2:", "a spreadsheet rounded it")),
        ("gold", ("people.csv:1:", "most of the 12 rows")),
    ],
)
def test_a_column_that_cannot_be_the_key_is_refused(key: str, words: tuple[str, ...], tmp_path: Path) -> None:
    """A key column that a spreadsheet rounded, or that most rows share, refuses the file; nobody is enlisted."""
    people = [
        {"user_id": f"user_{n}", "email": f"u{n}@d{n}.example", "first_name": "Ada", "cart": key} for n in range(12)
    ]
    with environment(tmp_path, people, recipients='key = "cart"') as env:
        refused(env.work.run(), *words)
        assert env.silent
        assert table_of(env.work.log, "delivery") == []


def test_a_missing_csv_is_refused(tmp_path: Path) -> None:
    """If the CSV is missing, the campaign ends with exit 2 and the name of the file."""
    with environment(tmp_path) as env:
        (tmp_path / "people.csv").unlink()
        refused(env.work.run(), "people.csv: this file does not exist", "--recipients")
        assert env.silent


#: Invalid rows between valid ones, and the reason reported for each.
ROWS = {
    "user_10,u10@d.example,Ada": "3 cells, but the header has 4",
    "user_11,u11@d.example,Ada,x,y": "5 cells, but the header has 4",
    "user_12,u12@d.example,A\0da,x": "first_name contains the control character U+0000",
    "user_13,u13@d.example,A\x1b[31mda,x": "U+001B",
    "user_14,u14@d.example,\u202eadA,x": "U+202E",
    "user_15,u15.example,Ada,x": "@",
    "user_18,zoë@d.example,Ada,x": "SMTPUTF8",
    "user_19,\u200bu19@d.example,Ada,x": "an invisible character, U+200B (ZERO WIDTH SPACE)",
    ",u16@d.example,Ada,x": "user_id is empty",
    "user_17,u17@d.example,Ada," + "x" * 10_000_000: "1,000,000",
}


def test_a_row_that_cannot_be_mailed_costs_itself_alone(tmp_path: Path) -> None:
    """A short, long or oversized row, or one with invisible characters, is skipped with its reason; others are sent."""
    good = table().splitlines()
    lines = [good[0], *ROWS, *good[1:]]
    with environment(tmp_path, PEOPLE, more=FREE) as env:
        (tmp_path / "people.csv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        assert env.mailed == [person["email"] for person in PEOPLE]
        status = env.work.status()
        assert (status["recipients"], status["sent"], status["skipped"]) == (len(ROWS) + 3, 3, len(ROWS))
        assert f"{len(ROWS)} rows skipped as invalid; the reasons are in the table at the end." in done.stdout
        reasons = [row["reason"] for row in env.work.rows() if row["state"] == "skipped"]
        for number, (reason, words) in enumerate(zip(reasons, ROWS.values(), strict=True), start=2):
            assert reason.startswith(f"line {number}: ")
            assert words in reason
        told = [number for number in range(2, len(ROWS) + 2) if f"line {number}" in done.stdout]
        others = re.search(r"(\d+) for other reasons", done.stdout)
        assert len(told) + int(others[1] if others else 0) == len(ROWS), "each row is told or counted"


def test_the_same_person_and_the_same_address_twice(tmp_path: Path) -> None:
    """A second row of a key is skipped with the line of the first; an address with two keys is mailed twice."""
    people = [
        {"user_id": "user_0", "email": "ada@d.example", "first_name": "Ada"},
        {"user_id": "user_0", "email": "ada@d.example", "first_name": "Ada"},
        {"user_id": "user_1", "email": "Ada@d.example", "first_name": "Ada"},
        {"user_id": "user_0", "email": "other@d.example", "first_name": "Eve"},
    ]
    with environment(tmp_path, people, more=FREE) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(address.lower() for address in env.mailed) == ["ada@d.example"] * 2
        assert sorted(token["user_id"] for token in env.tokens) == ["user_0", "user_1"]
        assert "people.csv: 2 rows skipped, because an earlier row has the same user_id." in done.stdout
        assert "1 address with several values of user_id; a mail is sent for each value." in done.stdout
        skipped = [row["reason"] for row in env.work.rows() if row["state"] == "skipped"]
        assert len(skipped) == 2
        assert all("line 2" in reason for reason in skipped)


def test_a_csv_that_changed_between_runs(tmp_path: Path) -> None:
    """Added rows are sent, removed rows stay queued, a change counts if not yet sent, and all of this is reported."""
    everybody = [
        {"user_id": f"user_{n}", "email": f"u{n}@d.example", "first_name": f"Name {n}"} for n in range(6)
    ]  # fmt: skip
    (tmp_path / "users.csv").write_text(
        "user_id,email\n" + "".join(f"{one['user_id']},{one['email']}\n" for one in everybody), encoding="utf-8"
    )
    more: dict[str, tuple[str, ...]] = {"user_0": ("new0@d.example",), "user_2": ("new2@d.example",)}
    clerk = ClerkScript(users=Users(csv=str(tmp_path / "users.csv"), more=more))
    with environment(tmp_path, everybody[:5], clerk=clerk, more=FREE) as env:
        assert env.work.run("--limit", "2").returncode == 0
        changed = [{**one} for one in everybody if one["user_id"] != "user_3"]
        for place, name in ((0, "user_0"), (2, "user_2")):
            changed[place]["email"] = more[name][0]
        env.work.write_people(changed)
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        before, _, _ = done.stdout.partition("emails from Acme")
        assert "1 recipient added since the last run." in before
        assert "1 row changed before the mail was sent; the new data applies." in before
        assert "1 row changed after the mail was sent; the change has no effect." in before
        assert "1 recipient of an earlier CSV will stay queued, because people.csv has no such row." in before.replace(
            f"{tmp_path}/", ""
        )
        assert env.mailed == [f"{name}@d.example" for name in ("new2", "u0", "u1", "u4", "u5")]
        assert env.work.status()["queued"] == 1


@pytest.mark.long
def test_a_long_csv_is_read_in_little_memory(tmp_path: Path) -> None:
    """Thousands of rows and a cell of 10 MB need no more memory than a few rows."""
    path = tmp_path / "people.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("user_id,email,first_name\n")
        for each in range(8_000):
            file.write(f"user_{each},u{each}@d{each % 7}.example,{'x' * 10_000_000 if each == 4_000 else 'Ada'}\n")
    section = RecipientsSection(file=path)
    with opened(tmp_path / "log.db") as log:
        tracemalloc.start()
        try:
            found = log.enlist(lambda: read_recipients(path, section), source="people.csv", digest="1")
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (found.recipients, found.invalid) == (7_999, 1)
    assert most < 16_000_000
