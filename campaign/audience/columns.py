"""Refuse a campaign file that names a column which the CSV does not have: `require_columns`."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from campaign.config.definition.toml_file import place_of
from campaign.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from campaign.config.definition import Definition


def require_columns(
    definition: Definition, needed: Mapping[str, tuple[str | int, ...]], columns: Iterable[str]
) -> None:
    """Check that a CSV has the columns that a campaign file names.

    Args:
        definition: the campaign file.
        needed: the columns, as variables, each with the section and key that name it.
        columns: the columns of the CSV, as variables.

    Raises:
        TemplateError: columns are missing; the text has a line for each, which names the most similar one.
    """
    known = sorted(columns)
    missing = [
        f"{place_of(definition.path, place)}: {_written(place)}: there is no column {column} in "
        f"{definition.recipients.file}; {_choice(column, known)}"
        for column, place in needed.items()
        if column not in known
    ]
    if missing:
        raise TemplateError("\n".join(missing))


def _written(place: tuple[str | int, ...]) -> str:
    *sections, key = (str(part) for part in place if isinstance(part, str))
    return f"[{'.'.join(sections)}] {key}" if sections else key


def _choice(column: str, known: list[str]) -> str:
    near = get_close_matches(column, known, n=1)
    listed = f"the columns are {', '.join(known)}."
    return f"did you mean {near[0]}? {listed[0].upper()}{listed[1:]}" if near else listed
