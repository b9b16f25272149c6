"""Change a send log beside a run, in short transactions: `SharedLog`, the base class of what may."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from campaign.errors import SendLogError
from campaign.sendlog.sqlite.files import open_for_writing
from campaign.sendlog.sqlite.statements import SQL
from campaign.tags import Tags, new_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from campaign.clock import Clock


class SharedLog:
    """A connection to a send log for changes that a run must not wait for, and that it sees at its next step.

    Args:
        path: the send log; it is created if it does not exist.
        clock: the time.

    Raises:
        SendLogUnusableError: the file cannot be opened, or is not a send log that this version can use.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._connection = open_for_writing(path)
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

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block writes, or roll all of it back.

        Raises:
            SendLogError: the log cannot be written.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise SendLogError(
                    f"the send log {self.path} cannot be written ({error}); nothing was changed"
                ) from error
            raise


def tags_of(connection: sqlite3.Connection) -> Tags:
    """Return the tags of a log, within a transaction: the first caller makes the log's key."""
    keys = dict(connection.execute(SQL.tag_keys))
    if not keys:
        keys = {1: new_key()}
        connection.executemany(SQL.add_tag_key, [{"id": each, "secret": secret} for each, secret in keys.items()])
    return Tags(keys)
