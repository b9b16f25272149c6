"""Load the SQL statements for PostgreSQL by name, `SQL` and others, from the `.sql` files beside this module."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import SimpleNamespace

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^--.*\n?", re.MULTILINE)
#: `:name`, but not `::type`.
_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


@cache
def script(name: str) -> str:
    """Return the text of a `.sql` file, such as `schema.sql`."""
    return (files(__package__) / name).read_text("utf-8")


def as_psycopg_writes(statement: str) -> str:
    """Return a statement with its parameters `:name` as `%(name)s`, and without comments.

    Raises:
        ValueError: the statement has a percent sign, which psycopg reads as the start of a parameter.
    """
    text = _COMMENT.sub("", statement).strip()
    if "%" in text:
        raise ValueError(f"a percent sign in {text!r}; use starts_with() for LIKE and mod() for the remainder")
    return _PARAMETER.sub(r"%(\1)s", text)


def schema() -> str:
    """Return the script that creates an empty log, for one transaction."""
    return script("schema.sql") + script("rates.sql") + script("rights.sql")


def _load(*names: str) -> SimpleNamespace:
    found: dict[str, str] = {}
    for file in names:
        _, *parts = _NAME.split(script(file))
        found |= {name: as_psycopg_writes(sql) for name, sql in zip(parts[::2], parts[1::2], strict=True)}
    return SimpleNamespace(**found)


#: Every statement of these files as an attribute.
SQL = _load("queries.sql", "aggregates.sql", "renewals.sql", "session.sql", "migrations.sql")
#: Those of `workers.sql` and of `rate_queries.sql`, which have no twin for SQLite.
WORKERS, RATES = _load("workers.sql"), _load("rate_queries.sql")
#: Those that copy a log to another place.
MOVING = _load("moving.sql")
