"""The keys of `[recipients]` for Clerk's waitlist: their defaults, and that a campaign has one source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaign.config.definition import load_definition
from campaign.config.definition.waitlist_keys import WAITLIST
from campaign.errors import DefinitionError

if TYPE_CHECKING:
    from pathlib import Path

_FILE = """\
name = "early-access"

[recipients]
{recipients}

[email]
from = "Acme <hello@acme.example>"
subject = "You're in"
html = "email.html"

[[steps]]
name = "first"

[[steps]]
name = "second"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "email.html").write_text("<p>Hello</p>")
    return tmp_path


def written(folder: Path, recipients: str) -> Path:
    """Write a campaign file whose section `[recipients]` has these lines, from line 4 on."""
    path = folder / "campaign.toml"
    path.write_text(_FILE.format(recipients=recipients), encoding="utf-8")
    return path


def test_the_waitlist_has_defaults(folder: Path) -> None:
    """Pending entries, found by address, which is the key; no user is made unless that is asked for."""
    section = load_definition(written(folder, 'clerk = "waitlist"')).recipients
    assert (section.clerk, section.status, section.create_users) == ("waitlist", "pending", False)
    assert (section.key, section.lookup, section.file) == ("email", "email", WAITLIST)
    more = 'clerk = "waitlist"\nkey = "waitlist_id"\nstatus = "invited"\ncreate_users = true\nbatch = 5'
    section = load_definition(written(folder, more)).recipients
    assert (section.key, section.status, section.create_users, section.batch) == ("waitlist_id", "invited", True, 5)


@pytest.mark.parametrize(
    ("recipients", "line", "words"),
    [
        (
            'clerk = "waitlist"\nfile = "a.csv"',
            5,
            'file: a campaign has one source, and this one has clerk = "waitlist"',
        ),
        ('clerk = "waitlist"\nkey = "user_id"', 5, 'key: must be "email" or "waitlist_id"'),
        ('clerk = "waitlist"\ngroup = "items"', 5, "group: is for a CSV"),
        ('clerk = "waitlist"\nstatus = "rejected"', 5, "status: can only be 'pending' or 'invited'"),
        ('clerk = "users"', 4, "clerk: can only be 'waitlist'"),
        ('file = "a.csv"\nstatus = "invited"', 5, "status: is for Clerk's waitlist; add clerk"),
        ('file = "a.csv"\ncreate_users = true', 5, "create_users: is for Clerk's waitlist; add clerk"),
        ('clerk = "waitlist"\ncreate_user = true', 5, 'unknown key "create_user" in [recipients]; did you mean'),
        ("", 3, 'file is missing; add file = "waitlist.csv", or clerk = "waitlist", or give --recipients'),
    ],
)
def test_a_wrong_value_is_told_with_its_line(folder: Path, recipients: str, line: int, words: str) -> None:
    """A second source, another key, and keys of the other source are problems with their lines."""
    with pytest.raises(DefinitionError) as refused:
        load_definition(written(folder, recipients))
    told = [text for text in str(refused.value).splitlines() if words in text]
    assert len(told) == 1, str(refused.value)
    assert f"campaign.toml:{line}: " in told[0]


def test_recipients_cannot_replace_the_waitlist(folder: Path) -> None:
    """`--recipients` names a CSV, and is refused with the line that names the waitlist."""
    path = written(folder, 'clerk = "waitlist"')
    with pytest.raises(DefinitionError, match=r"campaign\.toml:4: the recipients are Clerk's waitlist"):
        load_definition(path, recipients=folder / "a.csv")


def test_all_variants_read_the_same_file(folder: Path) -> None:
    """The campaign with the list that was written down has it in every step, and the one before is unchanged."""
    definition = load_definition(written(folder, 'clerk = "waitlist"'))
    assert definition.variant("second").recipients.file == WAITLIST
    reading = definition.reading(folder / "list.csv")
    assert [each.recipients.file for each in reading.variants] == [folder / "list.csv"] * 2
    assert [each.step for each in reading.variants] == ["first", "second"]
    assert definition.variant("second").recipients.file == WAITLIST
