"""Describe what is wrong in a campaign file as pydantic does, for rules that no section can check alone: `wrong`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: The path of an entry in the file, such as `("steps", 1, "due")`.
Location = tuple[str | int, ...]


def wrong(place: Location, sentence: str) -> ErrorDetails:
    """Return the fault of a value; the sentence goes on after the name of the key and a colon."""
    return {"type": "value_error", "loc": place, "msg": sentence, "input": None}


def missing(place: Location) -> ErrorDetails:
    """Return the fault of a key that is not there."""
    return {"type": "missing", "loc": place, "msg": "", "input": None}


def unknown(place: Location) -> ErrorDetails:
    """Return the fault of a key that a table does not have."""
    return {"type": "extra_forbidden", "loc": place, "msg": "", "input": None}
