"""Connect to a send log for one campaign: `CampaignConnection`, the base class of the parts of `SendLog`."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from campaign.sendlog.backends import database_of, worker_of
from campaign.sendlog.counts import summary
from campaign.sendlog.server_time import follow
from campaign.sendlog.shared_log import known_tags, tags_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from campaign.clock import Clock
    from campaign.model import Rate
    from campaign.sendlog.counts import Summary
    from campaign.sendlog.database import LogConnection, LogDatabase, LogLocation
    from campaign.sendlog.permits import PermitExchange


#: The lease of a run that was given none (seconds), such as a command that revokes tokens.
_LEASE_S = 60.0


class CampaignConnection:
    """A connection to a send log, for one campaign in it.

    Args:
        log: the send log, or its database while it is held; it is created if it does not exist.
        campaign: the campaign's name; it is added to the log if it is new.
        clock: the time; a `ServerClock` is set by the log's server.

    Raises:
        SendLogUnusableError: the log cannot be opened, or is not a send log that this version can use.
    """

    def __init__(self, log: LogLocation | LogDatabase, campaign: str, clock: Clock) -> None:
        self._database = database_of(log)
        self._sql = self._database.sql
        self._name = campaign
        self._clock = clock
        self._connection = self._database.connect(for_writing=True)
        self._worker = worker_of(self._database)
        try:
            with self._reading():
                follow(clock, self._connection)
            #: `message_key`: Message-IDs are derived from it. `templates`: fingerprint of the last run's templates.
            self._campaign, self.message_key, self.templates = self._find_or_add(campaign)
        except BaseException:
            self._connection.close()
            raise
        self._enlistment = 0
        #: The batch that this process enlisted; None if there is none.
        self._batch: int | None = None
        #: Whether the CSV was enlisted with steps.
        self._has_steps = False
        #: How many mails one address may get.
        self._cap: Rate | None = None
        self._list = campaign
        self._lease_s = _LEASE_S
        self._say: Callable[[str], object] = _ignore

    def share(self, *, lease: timedelta, say: Callable[[str], object]) -> None:
        """Set how a run shares the log with others, before it is prepared; a log with one run needs neither.

        Args:
            lease: how long the run keeps its rows when it is not heard of; longer than the wait for any reply.
            say: told what the run waits for, and what it did for others; called in any thread.
        """
        self._lease_s, self._say = lease.total_seconds(), say

    def say(self, sentence: str) -> None:
        """Say what the run waits for, as `share` has set it."""
        self._say(sentence)

    def close(self) -> None:
        """Close the log."""
        self._connection.close()

    @property
    def database(self) -> LogDatabase:
        """The log's database, from which another connection may read."""
        return self._database

    @property
    def enlistment(self) -> int:
        """The number of the enlistment whose rows this run sends; 0 before there is one."""
        return self._enlistment

    @property
    def worker_id(self) -> int:
        """The id of this run among the workers of the log; 0 in a log that one run uses, and before it has started."""
        return self._worker.id

    def summary(self) -> Summary:
        """Return the campaign's current counts."""
        terms = {"campaign": self._campaign, "enlistment": self._enlistment}
        with self._reading():
            return summary(self._connection, self._name, **terms, now=self._clock.now())

    def permits(self) -> PermitExchange | None:
        """Return what shares the rates of this run with the other workers of the log; None: there are no others."""
        return self._database.permits(secrets.token_hex(8))

    def _arguments(self, **more: object) -> dict[str, object]:
        """Return the parameters of every statement about this campaign, its id and the time, with `more` added."""
        return {"campaign": self._campaign, "now": self._clock.now()} | more

    def _transaction(self) -> AbstractContextManager[LogConnection]:
        """Commit what the block writes, or roll all of it back. It must not be used while the writer thread runs.

        Raises:
            SendLogError: the log cannot be written.
            SendLogUnusableError: the log is damaged.
        """
        return self._database.transaction(self._connection)

    def _preparation(self) -> AbstractContextManager[LogConnection]:
        """As `_transaction`, for changes of this campaign's rows only, which may be many: others are sent meanwhile."""
        return self._database.transaction(self._connection, lambda: self._connection.begin_preparing(self._campaign))

    def _reading(self) -> AbstractContextManager[None]:
        """Convert the errors of statements that only read, outside of a transaction, to a sentence."""
        return self._database.sentences()

    def _one(self, statement: str, **more: object) -> Any:  # noqa: ANN401 - the columns of the statement, or None
        """Return the row of a statement about this campaign, outside of a transaction."""
        with self._reading():
            return self._connection.execute(statement, self._arguments(**more)).fetchone()

    def _find_or_add(self, name: str) -> tuple[int, bytes, str]:
        with self._reading():
            row = self._connection.execute(self._sql.find_campaign, {"name": name}).fetchone()
            tags = known_tags(self._connection)
        if row is None or tags is None:
            with self._database.transaction(self._connection, self._connection.begin_short) as connection:
                row = connection.execute(self._sql.find_campaign, {"name": name}).fetchone()
                tags = tags_of(connection)
                if row is None:
                    connection.execute(self._sql.add_campaign, {"name": name, "message_key": secrets.token_bytes(32)})
                    row = connection.execute(self._sql.find_campaign, {"name": name}).fetchone()
        #: The tags of this log's unsubscribe links and return paths.
        self.tags = tags
        return row[0], row[1], row[2]


def _ignore(_: str) -> None:
    return
