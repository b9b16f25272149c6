"""What the unit tests promise of a log in SQLite, promised of one in PostgreSQL: the same tests, another `path`."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from campaign.config.postgres_url import PostgresUrl, parse_postgres_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers.postgres import Postgres

#: The files of `tests/unit/sendlog` with the promises.
FILES = (
    "aggregates", "batches", "claiming", "enlisting", "group_commit", "holdout", "log", "operator_actions", "recovery",
    "renewals", "steps", "suppressions", "unfinished", "user_creations", "waiting",
)  # fmt: skip
#: What is about SQLite alone: its file, its full disk, its query plans, its older schemas.
OF_SQLITE = {
    "test_a_full_disk_keeps_a_csv_out_whole",
    "test_a_full_disk_stops_the_run",
    "test_a_log_of_the_second_version_is_migrated",
    "test_a_log_that_breaks_while_it_is_read_is_told",
    "test_a_page_far_behind_takes_no_longer_than_the_first",
    "test_a_row_fails_and_its_address_is_suppressed_at_once",
    "test_a_request_reads_the_rows_of_its_key_only",
    "test_a_request_that_cannot_be_written_changes_nothing",
    "test_the_same_bytes_at_another_place_are_read",  # of another machine
    "test_only_a_campaign_with_a_cap_has_an_index_of_addresses",
}
#: Tests of many variants, in which the backends hardly differ.
LONG = {"test_a_step_out_of_order_stops_everything", "test_an_end_state_is_left_by_a_command_only"}


#: Files whose statements `test_twin.py` compares by default, too.
LONG_FILES = {"aggregates", "holdout", "renewals", "suppressions", "user_creations", "waiting"}


def promises() -> Iterator[tuple[str, Any]]:
    """Yield the tests that take a log's `path` and nothing else that makes one, each with a name of its own."""
    for file in FILES:
        name = f"unit.sendlog.test_{file}"
        pytest.register_assert_rewrite(name)
        for test, function in vars(importlib.import_module(name)).items():
            if not test.startswith("test_") or test in OF_SQLITE:
                continue
            if "path" in inspect.signature(function).parameters:
                promise = pytest.mark.long(function) if test in LONG or file in LONG_FILES else function
                yield f"test_{file}__{test.removeprefix('test_')}", promise


globals().update(promises())


@pytest.fixture(scope="module")
def database(postgres_server: Postgres) -> Iterator[str]:
    """Yield the URL of a database for all tests of this process."""
    url = postgres_server.fresh()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def path(postgres_server: Postgres, database: str) -> PostgresUrl:
    """Return the place of an empty log."""
    postgres_server.empty(database)
    return parse_postgres_url(database)


def test_there_are_promises_of_each_file() -> None:
    """Each file of the unit tests has promises that hold for PostgreSQL, and each exception is a test that exists."""
    found = [name.removeprefix("test_").partition("__")[0] for name, _ in promises()]
    assert set(found) == set(FILES)
    known = {name for file in FILES for name in vars(importlib.import_module(f"unit.sendlog.test_{file}"))}
    assert known >= OF_SQLITE
