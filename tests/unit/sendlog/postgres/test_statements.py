"""The statements for PostgreSQL: the same names and parameters as those for SQLite, written for psycopg."""

from __future__ import annotations

import re

import pytest

from campaign.sendlog.postgres.statements import as_psycopg_writes
from campaign.sendlog.postgres.statements import script as script_for_postgres
from campaign.sendlog.sqlite.statements import script as script_for_sqlite

SHARED = ("queries.sql", "aggregates.sql", "renewals.sql")


def statements(text: str) -> dict[str, str]:
    """Return a file's statements by name, without comments."""
    _, *parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return {
        name: re.sub(r"^--.*\n?", "", sql, flags=re.MULTILINE)
        for name, sql in zip(parts[::2], parts[1::2], strict=True)
    }


@pytest.mark.parametrize("file", SHARED)
def test_both_backends_have_the_same_statements(file: str) -> None:
    """Each statement for SQLite has its twin for PostgreSQL, in the same place of the file."""
    assert list(statements(script_for_postgres(file))) == list(statements(script_for_sqlite(file)))


@pytest.mark.parametrize("file", SHARED)
def test_twins_take_the_same_parameters(file: str) -> None:
    """A statement takes the same named parameters in both backends, so that one caller serves both."""
    of_sqlite = statements(script_for_sqlite(file))
    taken = {
        name: (
            set(re.findall(r"(?<!:):(\w+)", of_sqlite[name])),
            set(re.findall(r"%\((\w+)\)s", as_psycopg_writes(sql))),
        )
        for name, sql in statements(script_for_postgres(file)).items()
    }
    assert {name: both for name, both in taken.items() if both[0] != both[1]} == {}
    assert sum(map(len, taken.values())) > len(taken), "no statement takes parameters"


def test_parameters_are_written_as_psycopg_reads_them() -> None:
    """`:name` becomes psycopg's parameter, a cast stays a cast, and a comment's colon is nobody's parameter."""
    written = as_psycopg_writes("-- of :nothing\nSELECT {columns} FROM a WHERE b = :b::text AND lower(:c) = ':' || d\n")
    assert written == "SELECT {columns} FROM a WHERE b = %(b)s::text AND lower(%(c)s) = ':' || d"


def test_a_percent_sign_is_refused() -> None:
    """A percent sign in a statement is an error when it is loaded, not when psycopg looks for a parameter there."""
    with pytest.raises(ValueError, match=r"percent sign .* starts_with\(\)"):
        as_psycopg_writes("SELECT a FROM b WHERE a LIKE 'x%'")
