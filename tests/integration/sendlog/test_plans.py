"""PostgreSQL's plans for what a run does all the time: each looks its rows up in an index, however many there are."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from campaign.config.postgres_url import parse_postgres_url
from campaign.model import NEVER
from campaign.sendlog import SendLog
from campaign.sendlog.postgres.database import PostgresDatabase
from campaign.sendlog.postgres.many_rows import FOR_CLAIMED, FOR_MANY
from campaign.sendlog.postgres.statements import SQL
from support.fake_clock import FakeClock
from support.sendlog_helpers import enlist, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.sendlog.postgres.connection import PostgresConnection
    from campaign.sendlog.postgres.many_rows import ForMany
    from support.servers.postgres import Postgres

ROWS = 20_000
NOW = 1_750_000_000.0
QUEUE = {"campaign": 1, "enlistment": 1, "now": NOW, "never": NEVER, "domain": None, "domains": "[]", "limit": 100}


@pytest.fixture(scope="module")
def log(postgres_server: Postgres) -> Iterator[PostgresConnection]:
    """Yield a connection to a log with many rows, of which the planner does not know yet."""
    url = postgres_server.fresh()
    database = PostgresDatabase(parse_postgres_url(url))
    with closing(SendLog(database, "trial", FakeClock(NOW))) as log:
        enlist(log, people(ROWS))
    with closing(database.connect(for_writing=True)) as connection:
        yield connection
    postgres_server.drop(url)


def plan(log: PostgresConnection, statement: str, parameters: dict[str, Any]) -> str:
    """Return how the server executes a statement."""
    return "\n".join(row[0] for row in log.execute(f"EXPLAIN {statement}", parameters))


@pytest.mark.parametrize("domain", [None, "example.com"])
@pytest.mark.parametrize("after", [(-1.0, 0), (0.0, ROWS // 2), (NOW, 2**62)])
@pytest.mark.parametrize("domains", [[], ["example.com"], ["example.net", "example.org"]])
def test_a_claim_starts_at_its_cursor(
    log: PostgresConnection, domain: str | None, after: tuple[float, int], domains: list[str]
) -> None:
    """A claim reads the queue's index in order, from the cursor on, and neither sorts nor reads the table."""
    cursor = {"after": after[0], "after_id": after[1], "domain": domain, "domains": json.dumps(domains)}
    found = plan(log, SQL.claim, QUEUE | cursor)
    assert "Index Scan using delivery_queue" in found
    assert "ROW(not_before, id) >" in found.partition("Filter")[0]
    assert "Sort" not in found
    following = plan(log, SQL.next_due, QUEUE | cursor)
    assert "using delivery_queue" in following
    assert "Sort" not in following


def test_known_keys_are_looked_up(log: PostgresConnection) -> None:
    """The rows of a chunk of a CSV are looked up by their keys."""
    found = plan(log, SQL.known_keys, {"campaign": 1, "keys": json.dumps([f"user_{each}" for each in range(500)])})
    assert "Index Scan using delivery_identity" in found
    assert "key = " in found.partition("Filter")[0]


@pytest.mark.parametrize("name", ["issuing", "issued", "sending", "settle", "put_off", "take_row"])
def test_the_steps_of_a_group_look_their_rows_up(log: PostgresConnection, name: str) -> None:
    """A statement for the rows of a group looks them up by their ids."""
    statement = getattr(SQL, name)
    for many in [FOR_MANY[statement], FOR_CLAIMED.get(statement)]:
        if many:
            found = plan(log, many.text, {**many.arrays(group(many, 100)), "worker": 1})
            assert "Index Cond: (id = given.new_id)" in found
            assert "Seq Scan" not in found


def test_a_step_is_not_planned_for_each_group(log: PostgresConnection) -> None:
    """After a few groups the server keeps the plan of a step's statement, though groups are of different sizes."""
    many = FOR_CLAIMED[SQL.settle]
    for size in range(1, 13):
        with log.pipeline():
            log.execute(many.text, {**many.arrays(group(many, size)), "worker": 1})
    counted = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE 'UPDATE delivery%%'"
    assert log.execute(counted, {}).fetchall() == [(7, 5)]


def group(many: ForMany, size: int) -> list[dict[str, object]]:
    """Return the parameters of a statement for a group of rows."""
    values: dict[str, object] = dict.fromkeys(many.names) | {"now": NOW, "state": "queued"}
    return [values | {"id": each} for each in range(1, size + 1)]
