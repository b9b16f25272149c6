"""Statements for many rows: what they are made of, and what cannot be made one."""

from __future__ import annotations

import pytest

from campaign.sendlog.postgres.many_rows import FOR_MANY, for_many
from campaign.sendlog.postgres.statements import SQL


def test_the_parameters_become_arrays() -> None:
    """Each parameter is one array of the right type, and stands for the row's value wherever it stood."""
    many = for_many("UPDATE delivery SET state = %(state)s, code = %(code)s\nWHERE id = %(id)s AND state <> %(state)s;")
    assert many.text == (
        "UPDATE delivery SET state = given.new_state, code = given.new_code\n"
        "FROM unnest((SELECT %(state)s::text[]), %(code)s::integer[], %(id)s::bigint[])"
        " AS given (new_state, new_code, new_id)\n"
        "WHERE id = given.new_id AND state <> given.new_state;"
    )
    rows = [{"id": 1, "state": "sent", "code": 250, "more": 0}, {"id": 2, "state": "failed", "code": None, "more": 0}]
    assert many.arrays(rows) == {"state": '{"sent","failed"}', "code": "{250,NULL}", "id": "{1,2}"}


def test_the_steps_of_a_delivery_are_written_for_many() -> None:
    """Every step that each delivery takes is one statement for a whole group."""
    assert {SQL.issuing, SQL.issued, SQL.sending, SQL.settle, SQL.revoke_token} <= set(FOR_MANY)


@pytest.mark.parametrize("statement", ["UPDATE delivery SET state = %(state)s", "A\nWHERE b IN (\nWHERE c)"])
def test_another_statement_is_refused(statement: str) -> None:
    """A statement that has no place for its rows, or two, is an error when it is loaded."""
    with pytest.raises(ValueError, match="not a statement for one row"):
        for_many(statement)
