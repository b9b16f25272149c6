"""The send log's database as one schema of a PostgreSQL database: `PostgresDatabase`."""

from __future__ import annotations

from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING

import psycopg
from psycopg.errors import InsufficientPrivilege

from campaign.errors import LogHeldError, SendLogError, SendLogUnusableError
from campaign.sendlog.database import LogDatabase
from campaign.sendlog.movement import new_place, read_movements, refusal
from campaign.sendlog.postgres import faults
from campaign.sendlog.postgres.rates import PostgresRates
from campaign.sendlog.postgres.session import open_session
from campaign.sendlog.postgres.statements import MOVING, SQL, schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import SimpleNamespace

    from campaign.config.postgres_url import PostgresUrl
    from campaign.errors import CampaignError
    from campaign.sendlog.database import LogConnection
    from campaign.sendlog.postgres.connection import PostgresConnection

#: Goes up with every change of `schema.sql`; `migrations.sql` then needs a statement that migrates the last version.
VERSION = 1
#: How long a transaction waits for another one that writes (seconds). A run that gave up would be at its end, and the
#: other one may be the import of a long list.
_WAIT_S, _WAIT_OF_A_RUN_S = 30, 600


class PostgresDatabase(LogDatabase):
    """A send log in the schema `campaign` of a database.

    Args:
        url: the database.
        session: the session that has the log's lock; the first connection for writing is this one, so that what a
            run writes is written under the lock or not at all.
    """

    errors = psycopg.Error

    def __init__(self, url: PostgresUrl, *, session: PostgresConnection | None = None) -> None:
        self._url = url
        self._session = session

    @property
    def place(self) -> PostgresUrl:
        """The database."""
        return self._url

    @property
    def sql(self) -> SimpleNamespace:
        """The statements for PostgreSQL."""
        return SQL

    def connect(self, *, for_writing: bool) -> PostgresConnection:
        """Return a connection; one that reads may be open while a run writes."""
        connection = self._own_session() if for_writing else self._open()
        try:
            with self.sentences():
                if for_writing:
                    self._bring_up_to_date(connection)
                    if sentence := self.moved(connection):
                        raise SendLogUnusableError(sentence)
                elif (version := self.version(connection)) is None:
                    raise SendLogUnusableError(
                        f"the send log {self._url} does not exist yet; `campaign run FILE` creates it"
                    )
                else:
                    self._refuse_newer(version)
        except BaseException:
            connection.close()
            raise
        return connection

    def connect_to_move(self) -> PostgresConnection:
        """Return a connection that writes, to a log that may not be there yet, or was moved."""
        connection = self._own_session()
        try:
            with self.sentences():
                self._refuse_readers(connection)
                self._refuse_newer(self.version(connection) or 0)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def held(self, *, by: str = "", with_others: bool = False) -> Iterator[LogDatabase]:
        """Take an advisory lock of the session that will write, so that the lock lasts as long as its writes.

        Runs share the lock; a command that changes what runs do has it alone.
        """
        del by  # PostgreSQL knows the session alone
        with closing(self._open(wait_s=_WAIT_OF_A_RUN_S)) as session:
            with self.sentences():
                has_lock = session.try_to_hold(is_shared=with_others)
            if not has_lock:
                raise LogHeldError(
                    f"another command changes the send log {self._url}; wait until it ends"
                    if with_others
                    else f"a run uses the send log {self._url}; wait until it ends, or watch it with `campaign workers`"
                )
            yield PostgresDatabase(self._url, session=session)

    def held_by_process(self, *, by: str) -> AbstractContextManager[LogDatabase]:
        """Lock nothing: each writer has the lock in its own session, and none goes on without it."""
        del by
        return nullcontext(self)

    def writer(self) -> AbstractContextManager[LogDatabase]:
        """Take the lock in a session of its own, shared with other writers and other runs."""
        return self.held(with_others=True)

    def exists(self) -> bool:
        """Return whether the database has a send log."""
        with closing(self._open()) as connection, self.sentences():
            return self.version(connection) is not None

    def moved(self, connection: LogConnection) -> str | None:
        """Return the sentence with which changes are refused, since the log was moved; None: it is used here."""
        return refusal(self._url, read_movements(connection, MOVING))

    def moved_to(self, connection: LogConnection) -> str | None:
        """Return the place to which the log was moved, without secrets; None: it was not, or has come back."""
        return new_place(read_movements(connection, MOVING))

    def discard(self) -> None:
        """Do nothing: empty tables may stay in the database, and another program may have begun to use them."""

    def permits(self, worker: str) -> PostgresRates:
        """Return what shares the rates of a run with other workers."""
        return PostgresRates(self._url, worker)

    def unusable(self, error: Exception) -> CampaignError:
        """Return what an error means when the log is opened or read."""
        return faults.opening(self._url, error)

    def unchanged(self, error: Exception) -> CampaignError:
        """Return what an error of a transaction means that was rolled back."""
        return faults.changing(self._url, error)

    def uncommitted(self, error: Exception) -> CampaignError:
        """Return what an error means that came in place of the answer to a commit: perhaps the server committed."""
        if not isinstance(error, psycopg.OperationalError):
            return self.unchanged(error)
        return SendLogError(
            f"the send log {self._url} did not answer when a change was to become durable "
            f"({faults.reason_of(error)}), so it may be there or not. Look with `campaign status`, then run the same "
            "command again"
        )

    def broken(self, error: Exception) -> str:
        """Return the sentence with which a run ends whose write failed."""
        if isinstance(error, faults.LostCommitsError):
            return faults.lost_commits(self._url)
        return (
            f"the send log {self._url} can no longer be written ({faults.reason_of(error)}); nothing more was sent. "
            f"{faults.advice(error)}, then run the same command again"
        )

    def _open(self, *, wait_s: int | None = None) -> PostgresConnection:
        with self.sentences():
            return open_session(self._url, wait_s=_WAIT_S if wait_s is None else wait_s)

    def _own_session(self) -> PostgresConnection:
        """Return the session that has the log's lock, once; otherwise a new one."""
        if self._session is None:
            return self._open()
        connection, self._session = self._session, None
        return connection

    def version(self, connection: PostgresConnection) -> int | None:
        """Return the version of the log's schema, or None if there is none."""
        [[found]] = connection.execute(SQL.find_log)
        if found is None:
            return None
        [[version]] = connection.execute(SQL.version)
        return int(version)

    def _bring_up_to_date(self, connection: PostgresConnection) -> None:
        self._refuse_readers(connection)
        version = self.version(connection)
        if version == VERSION:
            return
        if version is not None:
            self._refuse_newer(version)
        connection.begin()
        try:
            self.make_current(connection)
        except BaseException:
            connection.rollback()
            raise
        connection.commit()

    def make_current(self, connection: PostgresConnection) -> None:
        """Make the tables if there are none, or migrate those of an older version, within a transaction that writes."""
        version = self.version(connection)  # another session may have been faster
        has_tables = version is not None
        try:
            if version is None:
                connection.execute(schema())
                version = VERSION
            for each in range(version + 1, VERSION + 1):
                connection.execute(getattr(SQL, f"to_{each}"))
        except InsufficientPrivilege as error:
            raise faults.not_the_owner(self._url, error, has_tables=has_tables) from error

    def _refuse_readers(self, connection: PostgresConnection) -> None:
        """Refuse a standby, and a user who may not change the tables that are there."""
        [[can_be_written, may_write]] = connection.execute(SQL.may_write)
        if not can_be_written:
            raise SendLogUnusableError(
                f"the send log {self._url} can only be read there; name the primary server in CAMPAIGN_LOG"
            )
        if not may_write:
            raise SendLogUnusableError(
                f"the send log {self._url} can only be read by this user; name one in CAMPAIGN_LOG that may write "
                "(deploy/postgres-roles.sql makes one for those who run campaigns)"
            )

    def _refuse_newer(self, version: int) -> None:
        if version > VERSION:
            raise SendLogUnusableError(
                f"the send log {self._url} was written by a newer version of campaign (its schema is {version}, this "
                f"version supports {VERSION}); upgrade campaign, or name another database in CAMPAIGN_LOG"
            )
