"""The statements for PostgreSQL: the same names and parameters as those for SQLite, written for psycopg."""

from __future__ import annotations

import ast
import re

import pytest

from campaign.sendlog.postgres.statements import as_psycopg_writes
from campaign.sendlog.postgres.statements import script as script_for_postgres
from campaign.sendlog.sqlite.statements import script as script_for_sqlite
from support import ROOT

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


#: What stands in braces in the statements, and is put there by the program: names of tables and columns, numbers, and
#: the text of one trigger, with its quotes doubled, since a definition takes no parameters.
NAMES_IN_BRACES = {"columns", "number", "order", "table", "tables", "text", "values"}
CODE = ROOT / "campaign/sendlog"


def test_values_are_parameters_only() -> None:
    """Only known names have a place in the files of SQL, and no statement is put together where it is executed."""
    found = {
        name
        for file in (CODE / "postgres").glob("*.sql")
        for name in re.findall(r"\{(\w+)\}", re.sub(r"^--.*", "", file.read_text("utf-8"), flags=re.MULTILINE))
    }
    assert found <= NAMES_IN_BRACES
    calls = [
        call
        for file in [*CODE.glob("*.py"), *(CODE / "postgres").glob("*.py")]
        for call in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args
        and call.func.attr in {"copy", "execute", "executemany", "stream"}
    ]  # fmt: skip
    assert len(calls) > 100
    assert [ast.unparse(call) for call in calls if isinstance(call.args[0], ast.JoinedStr | ast.BinOp)] == []
