"""`[[email.attachments]]` and `[limits] attachments`: what a campaign file may say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaign.config.definition import load_definition
from campaign.config.size import parse_size, size_text
from campaign.errors import DefinitionError

if TYPE_CHECKING:
    from pathlib import Path

FILE = """name = "trial"
[recipients]
file = "people.csv"
[email]
from = "hello@acme.example"
subject = "Hello"
html = "email.html"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a template and a file to attach."""
    (tmp_path / "email.html").write_text("<p>Hi</p>")
    (tmp_path / "terms.pdf").write_text("%PDF")
    return tmp_path


def test_all_keys_are_read(folder: Path) -> None:
    """The sections are in the order of the file; a size is in bytes."""
    more = '[[email.attachments]]\npath = "terms.pdf"\n[[email.attachments]]\npath = "{{ x }}"\nname = "{{ x }}.pdf"\n'
    more += 'type = "Application/PDF"\noptional = true\n[limits]\nattachments = "500 kB"\n'
    (folder / "campaign.toml").write_text(FILE + more)
    found = load_definition(folder / "campaign.toml")
    first, second = found.email.attachments
    assert (first.path, first.name, first.type, first.optional, first.is_fixed) == (
        "terms.pdf",
        None,
        None,
        False,
        True,
    )
    assert (second.name, second.type, second.optional, second.is_fixed) == (
        "{{ x }}.pdf",
        "application/pdf",
        True,
        False,
    )
    assert found.limits.attachments == 500_000


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            '[[email.attachments]]\npath = "none.pdf"\n',
            ":9: .email.attachments. path: the file .*none.pdf does not exist",
        ),
        ('[[email.attachments]]\npath = "../terms.pdf"\n', ":9: .*must be a file in the campaign file's folder"),
        ('[[email.attachments]]\npath = "/etc/{{ x }}"\n', ":9: .*must be a file in the campaign file's folder"),
        ('[[email.attachments]]\npath = "{{ x }}/../y"\n', ":9: .*must be a file in the campaign file's folder"),
        ('[[email.attachments]]\npath = ".env"\n', ":9: .*begins with a dot"),
        ('[[email.attachments]]\npath = "a/.b/{{ x }}"\n', ":9: .*begins with a dot"),
        ('[[email.attachments]]\npath = ""\n', ":9: .*must be the path of a file"),
        ("[[email.attachments]]\npath = 'a\\b'\n", ":9: .*must be written with slashes"),
        ('[[email.attachments]]\nname = "x"\n', r":8: \[email.attachments\] path is missing; add path = "),
        ('[[email.attachments]]\npath = "terms.pdf"\nnme = "x"\n', ':10: unknown key "nme" .*did you mean "name"'),
        ('[[email.attachments]]\npath = "terms.pdf"\nname = "a/b"\n', ":10: .*must be the name of a file"),
        ('[[email.attachments]]\npath = "terms.pdf"\ntype = "pdf"\n', ":10: .*must be a media type"),
        ('[[email.attachments]]\npath = "terms.pdf"\ntype = "message/rfc822"\n', ":10: .*application/octet-stream"),
        ('[[email.attachments]]\npath = "terms.pdf"\n[[email.attachments]]\npath = "b.pdf"\n', ":11: .*does not exist"),
        ('[email.attachments]\npath = "terms.pdf"\n', r":8: .*write a section \[\[email.attachments\]\]"),
        ('attachments = ["terms.pdf"]\n', r":8: .*write a section \[\[email.attachments\]\]"),
        ('[limits]\nattachments = "big"\n', ":9: .*is not a size; write one like"),
        ('[limits]\nattachments = "0 B"\n', ":9: .*must be from"),
        ('[limits]\nattachments = "1 GB"\n', ":9: .*must be from"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(folder: Path, more: str, words: str) -> None:
    """A wrong key or value is an error with the line, also in the second of two sections."""
    (folder / "campaign.toml").write_text(FILE + more)
    with pytest.raises(DefinitionError, match=words):
        load_definition(folder / "campaign.toml")


@pytest.mark.parametrize(("text", "size"), [("10 MB", 10_000_000), ("500kB", 500_000), ("7", 7), (" 2 GB ", 2 * 10**9)])
def test_a_size_is_read(text: str, size: int) -> None:
    """Sizes have SI units, with or without a blank before them."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "1.5 MB", "-1", "10 mb", "1e3", "10 MiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Any other text is an error."""
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_a_size_is_shown_with_one_decimal() -> None:
    """A size is shown in the unit that fits."""
    assert [size_text(n) for n in (0, 999, 1000, 999_949, 999_950, 1_250_000)] == [
        *("0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "1.2 MB"),
    ]
