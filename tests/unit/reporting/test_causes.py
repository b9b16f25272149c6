"""The causes of the closing table: one line for many rows, and a line of its own for another cause."""

from __future__ import annotations

import pytest

from campaign.model import Status
from campaign.reporting.causes import Cause, causes
from campaign.reporting.progress import as_text
from campaign.reporting.summary import table
from campaign.sendlog import Explanation, Summary, Whose


def found(*reasons: str, state: Status = Status.FAILED) -> list[Cause]:
    """Return the causes of rows with these reasons; `{email}`, `{key}` and `{user}` stand for the row's own."""
    rows = []
    for number, reason in enumerate(reasons, start=1):
        whose = Whose(f"u{number}@d{number}.example", f"key-{number}", f"user_{number}A")
        words = reason.format(email=whose.email, key=whose.key, user=whose.user_id)
        rows.append(Explanation(state, words, whose, number + 1))
    return causes(rows)


@pytest.mark.parametrize(
    "reasons",
    [
        ("Clerk has no user with the id {user}", "Clerk has no user with the id {user}"),
        ("550 5.1.1 <{email}>: no such user", "550 5.1.1 <{email}>: no such user"),
        ("the subject has 5,000 characters", "the subject has 4,321 characters"),
        ("452 4.2.2 quota of 12.5 MB, 3 messages", "452 4.2.2 quota of 7 MB, 41 messages"),
        ("550 rejected, see ticket 1234567", "550 rejected, see ticket 7654321"),
        ("line 4: the address is empty", "line 17: the address is empty"),
    ],
)
def test_one_cause_is_said_once(reasons: tuple[str, ...]) -> None:
    """Reasons that differ in addresses, keys, ids and numbers only are one cause."""
    (cause,) = found(*reasons)
    assert cause.number == 2


@pytest.mark.parametrize(
    "reasons",
    [
        ("550 5.1.1 refused", "550 5.7.1 refused"),
        ("550 refused", "552 refused"),
        ("mailbox full", "no such user"),
    ],
)
def test_another_cause_has_its_own_line(reasons: tuple[str, ...]) -> None:
    """Other words, and another reply code or enhanced code, are another cause."""
    assert [cause.number for cause in found(*reasons)] == [1, 1]


def test_a_state_has_its_own_causes() -> None:
    """The same reason in two states is not counted together."""
    rows = [Explanation(state, "x", Whose("a@d.example", "a", None), 2) for state in (Status.FAILED, Status.SKIPPED)]
    assert [(cause.state, cause.number) for cause in causes(rows)] == [(Status.FAILED, 1), (Status.SKIPPED, 1)]


def test_the_table_has_count_and_first_rows() -> None:
    """A cause of many rows is one line with the number and the first three; a single row keeps its full reason."""
    many = found(*["Clerk has no user with the id {user}"] * 50, "550 5.1.1 <{email}> unknown", state=Status.SKIPPED)
    lines = as_text(table(Summary("trial", {Status.SKIPPED: 51}), many)).splitlines()
    first = "50 times: Clerk has no user with the id [id] (u1@d1.example, u2@d2.example, u3@d3.example, …)"
    assert [line.strip() for line in lines[2:4]] == [first, "550 5.1.1 <u51@d51.example> unknown"]
    assert len(lines) == 5


def test_invalid_rows_are_named_by_their_lines() -> None:
    """Rows of the CSV that cannot be read are named by line, since they may have neither address nor key."""
    (cause,) = found("line 2: the address is empty", "line 3: the address is empty")
    assert cause.named == ["line 2", "line 3"]


def test_the_table_stays_short() -> None:
    """Causes beyond the first eight are counted in one line, and thousands of them are kept in bounded memory."""
    words = [
        f"reason {chr(97 + number % 26)}{chr(97 + number // 26 % 26)}{chr(97 + number // 676)}"
        for number in range(2500)
    ]
    told = found(*words)
    assert len(told) == 2001
    lines = as_text(table(Summary("trial", {Status.FAILED: 2500}), told)).splitlines()
    assert len(lines) == 3 + 8 + 1
    assert lines[-2].strip() == f"{2500 - sum(cause.number for cause in told[:8]):,} for other reasons"


def test_a_reason_cannot_steer_the_terminal() -> None:
    """Control characters and markup in a reason are shown as text."""
    shown = as_text(table(Summary("trial", {Status.FAILED: 2}), found(*["[red]\x1b[31m full"] * 2)))
    assert "\x1b" not in shown
    assert "[red] [31m full" in shown


def test_a_cause_of_a_whole_state_names_no_rows() -> None:
    """What holds for all queued rows, such as a server that cannot be reached, ends with its words."""
    queued = Cause(Status.QUEUED, "the mail server cannot be reached", 14)
    lines = as_text(table(Summary("trial", {Status.QUEUED: 14}), [queued])).splitlines()
    assert lines[2].strip() == "14 times: the mail server cannot be reached"
