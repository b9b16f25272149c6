"""The files that a mail may carry: those of the campaign's folder, and none that is private."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from campaign.errors import RowError
from campaign.message.attached_files import AttachedFiles

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 1000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a campaign's folder with files of all kinds, and a secret beside it."""
    root = tmp_path / "campaign"
    (root / "invoices").mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / "invoices" / "7.pdf").write_bytes(b"%PDF 7")
    (root / "big.pdf").write_bytes(b"x" * (LIMIT + 1))
    (root / "people.csv").write_text("email\nana@example.com\n")
    os.link(root / "people.csv", root / "copy.txt")
    for name in (".env", ".hidden/a.pdf", "prod.env", "dkim.pem", "campaign.toml", "log.db"):
        (root / name).write_text("x")
    (root / "log.bin").write_bytes(b"SQLite format 3\0 and more")
    (root / "id_rsa").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    os.mkfifo(root / "pipe.pdf")
    (tmp_path / "secret.pdf").write_text("secret")
    (root / "out.pdf").symlink_to(tmp_path / "secret.pdf")
    (root / "up").symlink_to(tmp_path)
    (root / "in.pdf").symlink_to(root / "invoices" / "7.pdf")
    (root / "hidden.pdf").symlink_to(root / ".env")
    (root / "loop.pdf").symlink_to(root / "loop.pdf")
    return root


def files(root: Path) -> AttachedFiles:
    """Return the files of the folder."""
    return AttachedFiles(root, recipients=root / "people.csv", limit=LIMIT)


@pytest.mark.parametrize("name", ["invoices/7.pdf", "./invoices/7.pdf", "in.pdf"])
def test_a_file_of_the_folder_is_read(root: Path, name: str) -> None:
    """A regular file in the folder is read, also by a link that stays in it."""
    assert files(root).read(name) == b"%PDF 7"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((name, "not the path of a visible file") for name in ("../secret.pdf", "/etc/passwd", "out.pdf", "", " ")),
        *((name, "not the path of a visible file") for name in ("up/secret.pdf", ".env", "hidden.pdf")),
        # Python 3.13 follows symbolic links that lead in a circle only when it opens the file
        ("loop.pdf", "not the path of a visible file|Too many levels of symbolic links"),
        *(
            (name, "not the path of a visible file")
            for name in (".hidden/a.pdf", "a\\b", "a\nb", "a\0b", "{{/../.env}}")
        ),
        *((name, "are not attached") for name in ("prod.env", "dkim.pem", "campaign.toml", "log.db", "log.bin")),
        ("id_rsa", "are not attached"),
        ("people.csv", "CSV with all recipients"),
        ("copy.txt", "CSV with all recipients"),
        ("pipe.pdf", "Only a regular file"),
        ("invoices", "Only a regular file"),
        ("big.pdf", r"1\.0 kB, and the attachments of a mail at most 1\.0 kB"),
        ("none.pdf", "does not exist"),
        ("in.pdf/x", "cannot be read"),
    ],
)
def test_any_other_file_is_refused(root: Path, name: str, words: str) -> None:
    """A file outside the folder, a hidden or private one, one that is not regular or too large is an error."""
    with pytest.raises(RowError, match=words):
        files(root).read(name)


def test_a_file_that_grows_is_cut_off(tmp_path: Path) -> None:
    """No more than one byte above the limit is read, whatever size the file was said to have."""
    (tmp_path / "a.pdf").write_bytes(b"x" * LIMIT)
    allowed = files(tmp_path)
    assert len(allowed.read("a.pdf")) == LIMIT
    with allowed._opened("a.pdf") as file:  # noqa: SLF001 - the file grows between `stat` and the reading
        with (tmp_path / "a.pdf").open("ab") as more:
            more.write(b"x" * 5 * LIMIT)
        with pytest.raises(RowError, match="at most"):
            allowed._content(file, "a.pdf")  # noqa: SLF001


def test_requiring_a_file_reads_nothing(root: Path) -> None:
    """Whether a file can be attached is known without reading it, and whether it is there without an error."""
    allowed = files(root)
    allowed.require("invoices/7.pdf")
    assert allowed.exists("invoices/7.pdf")
    assert not allowed.exists("invoices/8.pdf")
    assert not allowed.exists("in.pdf/x")
    for name in ("none.pdf", "pipe.pdf", "big.pdf", "people.csv"):
        with pytest.raises(RowError):
            allowed.require(name)
