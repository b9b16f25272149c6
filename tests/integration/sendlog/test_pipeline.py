"""Statements that are sent together, at a real server: their results, their errors, and what an array may hold."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.errors import DataError, DivisionByZero, OperationalError

from campaign.sendlog.postgres.many_rows import array
from campaign.sendlog.postgres.pipeline import StatementPipeline
from support.servers.database_proxy import DatabaseProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers.postgres import Postgres


@pytest.fixture
def session(postgres_server: Postgres) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(postgres_server.fresh(), autocommit=True)) as connection:
        yield connection


def test_results_come_when_they_are_read(session: psycopg.Connection) -> None:
    """Each statement gets its own result, with parameters of several types, and however often it is executed."""
    pipeline = StatementPipeline(session)
    with pipeline.collecting():
        answers = [
            pipeline.execute("SELECT %(a)s + 1, %(b)s || %(b)s, %(c)s::text IS NULL", {"a": each, "b": "ab", "c": None})
            for each in range(20)
        ]
        assert answers[3].fetchone() == (4, "abab", True)
        assert answers[3].fetchone() is None
        changes = pipeline.execute("CREATE TEMP TABLE spare AS SELECT generate_series(1, 7) AS n", {})
    assert [answer.fetchall() for answer in answers[4:]] == [[(each + 1, "abab", True)] for each in range(4, 20)]
    assert changes.rowcount == 7


def test_nothing_is_sent_before_it_is_needed(session: psycopg.Connection) -> None:
    """A block that ends with an error has executed nothing that was not read."""
    pipeline = StatementPipeline(session)
    session.execute("CREATE TEMP TABLE spare (n integer)")

    def add_and_fail() -> None:
        with pipeline.collecting():
            pipeline.execute("INSERT INTO spare VALUES (1)", {})
            raise KeyError

    with pytest.raises(KeyError):
        add_and_fail()
    with pipeline.collecting():
        assert pipeline.execute("SELECT count(*) FROM spare", {}).fetchone() == (0,)


def test_the_first_error_is_raised(session: psycopg.Connection) -> None:
    """What comes after an error is skipped by the server, a commit included, and the session can be used."""
    pipeline = StatementPipeline(session)
    session.execute("CREATE TEMP TABLE spare (n integer)")

    def fail_within() -> None:
        with pipeline.collecting():
            pipeline.execute("BEGIN", {})
            pipeline.execute("INSERT INTO spare VALUES (%(n)s)", {"n": 1})
            pipeline.execute("SELECT 1 / %(zero)s", {"zero": 0})
            pipeline.execute("SELECT %(late)s::text", {"late": "too late"})
            pipeline.execute("COMMIT", {})

    with pytest.raises(DivisionByZero):
        fail_within()
    session.execute("ROLLBACK")
    with pipeline.collecting():
        pipeline.execute("INSERT INTO spare VALUES (%(n)s)", {"n": 2})
        assert pipeline.execute("SELECT %(late)s::text", {"late": "in time"}).fetchall() == [("in time",)]
    assert session.execute("SELECT n FROM spare").fetchall() == [(2,)]


def test_a_lost_connection_is_an_error(postgres_server: Postgres) -> None:
    """It is psycopg's, and the connection says that it is closed."""
    with DatabaseProxy(postgres_server.port) as proxy:
        url = postgres_server.fresh().replace(f":{postgres_server.port}/", f":{proxy.port}/")
        with closing(psycopg.connect(url, autocommit=True)) as session:
            pipeline = StatementPipeline(session)
            proxy.cut()
            with pytest.raises(OperationalError), pipeline.collecting():
                pipeline.execute("SELECT 1", {})
            assert session.closed


def test_more_than_the_buffers_hold(session: psycopg.Connection) -> None:
    """Neither side waits for the other when both the statements and the results are long."""
    pipeline = StatementPipeline(session)
    text = "x" * 1_000_000
    with pipeline.collecting():
        answers = [pipeline.execute("SELECT %(text)s::text", {"text": text}) for _ in range(20)]
    assert all(answer.fetchone() == (text,) for answer in answers)


def test_a_value_that_the_server_cannot_hold(session: psycopg.Connection) -> None:
    """It is found before anything is sent, and the session can be used."""
    pipeline = StatementPipeline(session)
    session.execute("CREATE TEMP TABLE spare (n integer)")

    def add_two() -> None:
        with pipeline.collecting():
            pipeline.execute("INSERT INTO spare VALUES (1)", {})
            pipeline.execute("SELECT %(text)s::text", {"text": "a\0b"})

    with pytest.raises(DataError):
        add_two()
    assert session.execute("SELECT count(*) FROM spare").fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", ["", "NULL", "null", 'a "b"', "\\", '\\"', "{1,2}", "a,b", " space ", "ä\n€\t", None, "(1)"]),
        ("bigint", [0, -(2**63), 2**63 - 1, None]),
        ("double precision", [0.1, 1764600000.123457, float("inf"), -0.0, 5e-324, None]),
    ],
)
def test_an_array_holds_what_it_was_given(session: psycopg.Connection, kind: str, values: list[object]) -> None:
    """The server reads each element as it was, to the last bit."""
    row = session.execute(f"SELECT %(values)s::{kind}[]", {"values": array(values)}).fetchone()
    assert row == (values,)
