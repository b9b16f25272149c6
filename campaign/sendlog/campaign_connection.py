"""Connect to a SQLite send log for one campaign: `CampaignConnection`, the base class of the parts of `SendLog`."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from campaign.errors import SendLogError
from campaign.sendlog.counts import summary
from campaign.sendlog.shared_log import tags_of
from campaign.sendlog.sqlite.files import is_damage, open_for_writing, sentences
from campaign.sendlog.sqlite.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.clock import Clock
    from campaign.model import Rate
    from campaign.sendlog.counts import Summary


class CampaignConnection:
    """A connection to a send log, for one campaign in it.

    Args:
        path: the log's file; it is created if it does not exist.
        campaign: the campaign's name; it is added to the log if it is new.
        clock: the time.

    Raises:
        SendLogUnusableError: the file cannot be opened, or is not a send log that this version can use.
    """

    def __init__(self, path: Path, campaign: str, clock: Clock) -> None:
        self.path = path
        self._name = campaign
        self._clock = clock
        self._connection = open_for_writing(path)
        try:
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

    def close(self) -> None:
        """Close the log."""
        self._connection.close()

    def summary(self) -> Summary:
        """Return the campaign's current counts."""
        return summary(
            self._connection, self._name, campaign=self._campaign, enlistment=self._enlistment, now=self._clock.now()
        )

    def _arguments(self, **more: object) -> dict[str, object]:
        """Return the parameters of every statement about this campaign, its id and the time, with `more` added."""
        return {"campaign": self._campaign, "now": self._clock.now()} | more

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block writes, or roll all of it back. It must not be used while the writer thread runs.

        Raises:
            SendLogError: the log cannot be written.
            SendLogUnusableError: the log is damaged.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            _undo(self._connection)
            if is_damage(error):
                with sentences(self.path):
                    raise
            raise SendLogError(
                f"the send log {self.path} cannot be written ({error}); nothing was changed. "
                "Free disk space, then run the same command again"
            ) from error
        except BaseException:
            _undo(self._connection)
            raise

    def _find_or_add(self, name: str) -> tuple[int, bytes, str]:
        with self._transaction() as connection:
            row = connection.execute(SQL.find_campaign, {"name": name}).fetchone()
            #: The tags of this log's unsubscribe links and return paths.
            self.tags = tags_of(connection)
            if row is None:
                connection.execute(SQL.add_campaign, {"name": name, "message_key": secrets.token_bytes(32)})
                row = connection.execute(SQL.find_campaign, {"name": name}).fetchone()
        return row[0], row[1], row[2]


def _undo(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
