"""Change a send log beside a run, in short transactions: `SharedLog`, the base class of what may."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from campaign.sendlog.backends import database_of
from campaign.sendlog.server_time import follow
from campaign.tags import Tags, new_key

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Self

    from campaign.clock import Clock
    from campaign.sendlog.database import LogConnection, LogDatabase, LogLocation


#: A clock that follows the server's is set again after this time (seconds): what answers links runs for weeks.
_FOLLOW_EVERY_S = 300.0


class SharedLog:
    """A connection to a send log for changes that a run must not wait for, and that it sees at its next step.

    Args:
        log: the send log; it is created if it does not exist.
        clock: the time; a `ServerClock` is set by the log's server, and again every few minutes.

    Raises:
        SendLogUnusableError: the log cannot be opened, or is not a send log that this version can use.
    """

    def __init__(self, log: LogLocation | LogDatabase, clock: Clock) -> None:
        self._database = database_of(log)
        self._sql = self._database.sql
        self._clock = clock
        self._connection: LogConnection = self._database.connect(for_writing=True)
        self._followed_at = -inf
        try:
            with self._reading():
                tags = known_tags(self._connection)
            if tags is None:
                with self._database.transaction(self._connection, self._connection.begin_short):
                    tags = tags_of(self._connection)
            self._tags = tags
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        """Return the log."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the log."""
        self._connection.close()

    @property
    def place(self) -> LogLocation:
        """Where the log is."""
        return self._database.place

    def _transaction(self) -> AbstractContextManager[LogConnection]:
        """Commit what the block writes, or roll all of it back.

        Raises:
            SendLogError: the log cannot be written.
            SendLogUnusableError: the log is damaged.
        """
        return self._database.transaction(self._renewed())

    def _reading(self) -> AbstractContextManager[None]:
        """Convert the errors of statements that only read, outside of a transaction, to a sentence."""
        self._renewed()
        return self._database.sentences()

    def _renewed(self) -> LogConnection:
        """Return the connection, or a new one if it was lost: what answers links for weeks outlives its server."""
        if not self._connection.is_open:
            self._connection.close()
            self._connection = self._database.connect(for_writing=True)
        if self._clock.now() - self._followed_at > _FOLLOW_EVERY_S:
            with self._database.sentences():
                follow(self._clock, self._connection)
            self._followed_at = self._clock.now()
        return self._connection


def known_tags(connection: LogConnection) -> Tags | None:
    """Return the tags of a log; None if it has no key yet."""
    keys = dict(connection.execute(connection.sql.tag_keys))
    return Tags(keys) if keys else None


def tags_of(connection: LogConnection) -> Tags:
    """Return the tags of a log, within a transaction: the first caller makes the log's key."""
    if known := known_tags(connection):
        return known
    keys = {1: new_key()}
    connection.executemany(
        connection.sql.add_tag_key, [{"id": each, "secret": secret} for each, secret in keys.items()]
    )
    return Tags(keys)
