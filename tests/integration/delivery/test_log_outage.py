"""A send log whose server goes away while it is read: it is waited for, and read again."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from campaign.config.postgres_url import parse_postgres_url
from campaign.delivery.log_outage import until_answered
from campaign.errors import SendLogUnusableError
from campaign.sendlog import LogReader
from support.sendlog_helpers import enlist, opened, people
from support.servers.postgres import postgres

if TYPE_CHECKING:
    from campaign.sendlog import Summary


def test_counts_are_read_when_the_server_is_back() -> None:
    """Counts whose server crashed are read as soon as it answers again, whether the session or the server was lost."""
    said: list[str] = []
    with postgres() as server:
        place = parse_postgres_url(server.fresh())
        with opened(place) as log:
            enlist(log, people(3))
        with closing(LogReader(place)) as reader:
            server.crash()
            readers = [reader]

            def read() -> Summary:
                if readers:
                    return readers.pop().summary("trial", now=0.0)  # over a session that is lost
                with closing(LogReader(place)) as another:
                    return another.summary("trial", now=0.0)

            assert asyncio.run(until_answered(read, said.append)).recipients == 3


def test_another_error_ends_the_wait() -> None:
    """A log that cannot be used for another reason is no server that is away: its sentence is raised."""

    def read() -> None:
        raise SendLogUnusableError("the send log is damaged")

    with pytest.raises(SendLogUnusableError, match="is damaged"):
        asyncio.run(until_answered(read, lambda _: None))
