"""Change a send log beside a run, in short transactions: `SharedLog`, the base class of what may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.sendlog.backends import database_of
from campaign.tags import Tags, new_key

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Self

    from campaign.clock import Clock
    from campaign.sendlog.database import LogConnection, LogDatabase, LogLocation


class SharedLog:
    """A connection to a send log for changes that a run must not wait for, and that it sees at its next step.

    Args:
        log: the send log; it is created if it does not exist.
        clock: the time.

    Raises:
        SendLogUnusableError: the log cannot be opened, or is not a send log that this version can use.
    """

    def __init__(self, log: LogLocation | LogDatabase, clock: Clock) -> None:
        self._database = database_of(log)
        self._sql = self._database.sql
        self._clock = clock
        self._connection: LogConnection = self._database.connect(for_writing=True)
        try:
            with self._transaction():
                self._tags = tags_of(self._connection)
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
        return self._connection


def tags_of(connection: LogConnection) -> Tags:
    """Return the tags of a log, within a transaction: the first caller makes the log's key."""
    keys = dict(connection.execute(connection.sql.tag_keys))
    if not keys:
        keys = {1: new_key()}
        connection.executemany(
            connection.sql.add_tag_key, [{"id": each, "secret": secret} for each, secret in keys.items()]
        )
    return Tags(keys)
