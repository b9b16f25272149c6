"""A header that is none is refused with the reason, and not for the column that it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaign.config.definition import RecipientsSection
from campaign.errors import RecipientsError
from campaign.recipients import read_recipients

if TYPE_CHECKING:
    from pathlib import Path


def refusal(folder: Path, content: str) -> str:
    """Return why a CSV is refused, without the folder."""
    path = folder / "people.csv"
    path.write_text(content, "utf-8")
    with pytest.raises(RecipientsError) as caught:
        list(read_recipients(path, RecipientsSection(file=path)))
    return str(caught.value).removeprefix(f"{folder}/")


@pytest.mark.parametrize(
    ("content", "header", "line"),
    [
        ("Customers 2026\nuser_id,email\nuser_1,a@example.com\n", 1, 2),
        ("Customers 2026,,\n,,\nuser_id,Email,name\nuser_1,a@example.com,Ada\n", 1, 3),
        ("\nExport; of today\nuser_id;email;name\nuser_1;a@example.com;Ada\n", 2, 3),
        ('"Customers, all"\nuser_id\temail\nuser_1\ta@example.com\n', 1, 2),
    ],
)
def test_a_title_above_the_header_is_named(tmp_path: Path, content: str, header: int, line: int) -> None:
    """If a line below has the column names, the error says on which line the header is, and to delete what is above."""
    assert refusal(tmp_path, content) == (
        f"people.csv:{header}: this line is not the header: the names of the columns are on line {line}. Delete the "
        "lines above it, so that the header is the first line."
    )


@pytest.mark.parametrize("delimiter", ["|", ":", "||", "  ", "^", "~", " | "])
def test_an_unknown_delimiter_is_named(tmp_path: Path, delimiter: str) -> None:
    """If the columns are separated by a character that is no delimiter, the error names it and what to use."""
    content = "\n".join(delimiter.join(row) for row in (("user_id", "email"), ("user_1", "a@example.com")))
    assert refusal(tmp_path, content).startswith(
        f'people.csv:1: the columns are separated by "{delimiter.strip() or delimiter}"; separate them by commas,'
    )


@pytest.mark.parametrize("content", ["user_id,mail\nuser_1,a@example.com\n", "name\nx\n", "a:b\n1:2\n"])
def test_a_header_without_the_column_is_told_so(tmp_path: Path, content: str) -> None:
    """A header that only lacks the column is refused for that."""
    assert 'the column "email" is missing' in refusal(tmp_path, content)
