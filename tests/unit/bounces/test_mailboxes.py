"""Mails from a Maildir, an mbox and standard input: each once, none changed, and an error for what is none of them."""

from __future__ import annotations

import io
import os
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from campaign.bounces import read_reports
from campaign.bounces.mailboxes import read_mails
from campaign.bounces.reports import MAX_MAIL
from campaign.errors import CannotStartError
from support.reports import mail_named

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("postfix-unknown-user", "gmail-unknown", "reply-of-a-person")
SEPARATOR = b"From MAILER-DAEMON Mon Nov 30 10:00:03 2026\n"


def maildir(folder: Path, **mails: bytes) -> Path:
    """Make a Maildir with mails in `new`."""
    for name in ("new", "cur", "tmp"):
        (folder / name).mkdir(parents=True)
    for name, mail in mails.items():
        (folder / "new" / name).write_bytes(mail)
    return folder


def mbox_of(*mails: bytes) -> bytes:
    """Return an mbox (RFC 4155) of mails."""
    return b"".join(SEPARATOR + mail.replace(b"\nFrom ", b"\n>From ") + b"\n" for mail in mails)


def give(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make bytes the standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def refusal(source: Path | str) -> str:
    """Return the error that reading a source raises."""
    with pytest.raises(CannotStartError) as refused:
        list(read_mails(str(source)))
    return str(refused.value)


def test_a_mail_has_the_same_id_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same mails have the same ids in a Maildir, an mbox and on standard input, whatever their line ends."""
    mails = [mail_named(name) for name in NAMES]
    box = maildir(tmp_path / "box", **{f"m{number}": mail for number, mail in enumerate(mails)})
    (tmp_path / "mbox").write_bytes(mbox_of(*mails))
    (tmp_path / "crlf").write_bytes(mbox_of(*mails).replace(b"\n", b"\r\n"))
    found = {mail.id for mail in read_mails(str(box))}
    assert len(found) == 3
    assert {mail.id for mail in read_mails(str(tmp_path / "mbox"))} == found
    assert {mail.id for mail in read_mails(str(tmp_path / "crlf"))} == found
    ids = set()
    for mail in mails:
        give(mail, monkeypatch)
        ids |= {one.id for one in read_mails("-")}
    assert ids == found
    give(mbox_of(*mails), monkeypatch)
    assert {mail.id for mail in read_mails("-")} == found


def test_reports_are_read_with_their_ids(tmp_path: Path) -> None:
    """Each mail of a source is one report."""
    (tmp_path / "mbox").write_bytes(mbox_of(*map(mail_named, NAMES)))
    found = list(read_reports(str(tmp_path / "mbox")))
    assert [report.kind for _, report in found] == ["hard", "hard", "not a report"]
    assert len({key for key, _ in found}) == 3


def test_a_maildir_stays_as_it_is(tmp_path: Path) -> None:
    """Mails in `new` and `cur` are read, all else is passed over, and no file is moved or changed."""
    box = maildir(tmp_path / "box", one=b"Subject: 1\n\n", two=b"Subject: 2\n\n")
    (box / "cur" / "three:2,S").write_bytes(b"Subject: 3\n\n")
    (box / "tmp" / "four").write_bytes(b"Subject: 4\n\n")
    (box / "new" / ".hidden").write_bytes(b"Subject: 5\n\n")
    (box / "new" / "folder").mkdir()
    before = {path: path.lstat().st_mtime_ns for path in box.rglob("*")}
    assert sorted(mail.raw for mail in read_mails(str(box))) == [b"Subject: %d\n\n" % number for number in (1, 2, 3)]
    assert {path: path.lstat().st_mtime_ns for path in box.rglob("*")} == before


def test_a_mail_that_is_moved_meanwhile_is_read(tmp_path: Path) -> None:
    """A mail that a reader moves from `new` to `cur` is still read, and one that is deleted is left out."""
    box = maildir(tmp_path / "box", **{f"m{number}": b"Subject: %d\n\n" % number for number in range(20)})
    reading = read_mails(str(box))
    found = {next(reading).id}
    for path in list((box / "new").iterdir()):
        path.rename(box / "cur" / f"{path.name}:2,S")
    found |= {mail.id for mail in reading}
    assert len(found) == 20
    reading = read_mails(str(box))
    next(reading)
    for path in list((box / "cur").iterdir()):
        path.unlink()
    assert len(list(reading)) < 20


@pytest.mark.parametrize(
    ("text", "mails"),
    [
        (b"", []),
        (SEPARATOR, [b""]),
        (SEPARATOR + b"A: 1\n\nbody\n\n" + SEPARATOR + b"A: 2\n\nbody\n", [b"A: 1\n\nbody\n", b"A: 2\n\nbody\n"]),
        (SEPARATOR + b"A: 1\n\n>From here\n>>From there\n", [b"A: 1\n\nFrom here\n>From there\n"]),
        (SEPARATOR + b"A: 1\n\nFrom here to the sea\n\nFrom me\n", [b"A: 1\n\nFrom here to the sea\n\nFrom me\n"]),
        (SEPARATOR + b"A: 1\n\nbody\n" + SEPARATOR, [b"A: 1\n\nbody\n" + SEPARATOR]),
        (b"From whoever\nA: 1\n\nbody\n", [b"A: 1\n\nbody\n"]),
    ],
)
def test_an_mbox_is_split_at_its_separators(tmp_path: Path, text: bytes, mails: list[bytes]) -> None:
    """A mail begins after a blank line and a line with sender and date; a text's own "From " does not begin one."""
    (tmp_path / "mbox").write_bytes(text)
    assert [mail.raw for mail in read_mails(str(tmp_path / "mbox"))] == mails
    assert (tmp_path / "mbox").read_bytes() == text


@pytest.mark.parametrize("change", ["grows", "is cut", "is written anew", "is replaced"])
def test_an_mbox_that_changes_is_told(tmp_path: Path, change: str) -> None:
    """An mbox that changes while it is read yields no half mail, and ends with an error that says what to type."""
    path = tmp_path / "mbox"
    whole = mbox_of(*map(mail_named, NAMES))
    path.write_bytes(whole)
    reading = read_mails(str(path))
    found = [next(reading)]
    os.utime(path, ns=(1, 1))
    match change:
        case "grows":
            with path.open("ab") as file:
                file.write(mbox_of(b"A: 1\n\nha"))
        case "is cut":
            path.write_bytes(whole[:-500])
        case "is written anew":
            path.write_bytes(b"x" * len(whole))
        case "is replaced":
            (tmp_path / "new").write_bytes(whole)
            (tmp_path / "new").rename(path)
    with pytest.raises(CannotStartError, match=r"mbox changed while it was read.*run the same command again"):
        found += reading
    assert [mail.raw for mail in found] == list(map(mail_named, NAMES))[: len(found)]
    assert len(found) == (2 if change == "grows" else 1)


def test_a_source_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no mailbox is refused with a sentence that says what to give instead."""
    (tmp_path / "list.csv").write_text("email\nada@example.com\n", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert "does not exist; give a Maildir, an mbox file, or -" in refusal(tmp_path / "nowhere")
    assert "is no Maildir: it has no folders new and cur" in refusal(tmp_path / "empty")
    assert f"is no mbox: it does not begin with a line `From …`; for a single mail type - and < {tmp_path}" in refusal(
        tmp_path / "list.csv"
    )
    assert "is neither a Maildir nor an mbox file" in refusal(tmp_path / "pipe")
    give(b"\x89PNG\r\n", monkeypatch)
    assert "its first line is no header field" in refusal("-")


def test_empty_standard_input_is_no_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty standard input is an empty mailbox."""
    give(b"", monkeypatch)
    assert list(read_mails("-")) == []


def test_closed_standard_input_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without a standard input gets a sentence."""
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed; pipe a mail or an mbox" in refusal("-")


def test_a_terminal_is_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal as standard input is refused instead of waiting for someone to type a mail."""
    leader, follower = os.openpty()
    try:
        with os.fdopen(follower, encoding="utf-8", closefd=False) as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            assert "standard input is a terminal" in refusal("-")
    finally:
        os.close(leader)
        os.close(follower)


@pytest.mark.parametrize("kind", ["maildir", "mbox", "stdin"])
def test_a_huge_mail_is_cut_off(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a mail of 16 MB only the first MB is kept, and the next mail is read whole."""
    huge = mail_named("gmail-unknown") + (b"x" * 998 + b"\n") * 16_000
    if kind == "maildir":
        source = str(maildir(tmp_path / "box", huge=huge, next=mail_named("reply-of-a-person")))
    elif kind == "mbox":
        (tmp_path / "mbox").write_bytes(mbox_of(huge, mail_named("reply-of-a-person")))
        source = str(tmp_path / "mbox")
    else:
        give(mbox_of(huge, mail_named("reply-of-a-person")), monkeypatch)
        source = "-"
    del huge
    tracemalloc.start()
    try:
        sizes = sorted(len(mail.raw) for mail in read_mails(source))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sizes == [len(mail_named("reply-of-a-person")), MAX_MAIL]
    assert peak < 8 * MAX_MAIL
