"""Load all SQL statements by name, `SQL` and `MOVING`, from the `.sql` files beside this module."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import SimpleNamespace

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def script(name: str) -> str:
    """Return the text of a `.sql` file, such as `schema.sql`, which creates an empty log."""
    return (files(__package__) / name).read_text("utf-8")


def _load(*names: str) -> SimpleNamespace:
    found: dict[str, str] = {}
    for file in names:
        _, *parts = _NAME.split(script(file))
        found |= {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}
    return SimpleNamespace(**found)


#: Every statement of these files as an attribute.
SQL = _load("queries.sql", "aggregates.sql", "renewals.sql", "migrations.sql")
#: Those that copy a log to another place.
MOVING = _load("moving.sql")
