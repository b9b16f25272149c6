"""Make each transaction of a worker until it is durable, over lost connections: `WorkerTransactions`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

import psycopg
from psycopg import errors

from campaign.sendlog.postgres.faults import LostCommitsError, reason_of
from campaign.sendlog.postgres.session import closing_after_error, notice_loss_within, open_session
from campaign.sendlog.postgres.statements import WORKERS
from campaign.sendlog.worker import ContestedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.config.postgres_url import PostgresUrl
    from campaign.sendlog.database import LogCursor
    from campaign.sendlog.postgres.connection import PostgresConnection
    from campaign.sendlog.worker import WorkTerms

T = TypeVar("T")

#: How long a transaction waits for one that enlists a CSV or is an operator's (seconds), before it tries again.
_WAIT_S = 5
#: A server that is away is asked again after this time (seconds).
_RETRY_S = 0.5
#: A run that ends asks a server that is away this often: the last outcomes are to be written.
_LAST_TRIES = 20


class WorkerTransactions:
    """The transactions of one worker, in one session at a time.

    One whose connection is lost is made again. Whether one was committed whose COMMIT had no answer, the worker's own
    row tells: each transaction writes its number there.

    Args:
        url: the database.
        worker: returns the worker's id, which changes if others have removed it.
    """

    def __init__(self, url: PostgresUrl, worker: Callable[[], int]) -> None:
        self._url = url
        self._worker = worker
        self._terms: WorkTerms | None = None
        self._campaign = 0
        self._number = 0
        #: The worker whose transaction was committed last, as the server said, and its number.
        self._committed = (0, 0)
        #: The server process of the session, and when it began.
        self._backend: tuple[int, str] | None = None
        #: The first statement of the transaction, and what it returned when it was read: whether the lease holds.
        self._mark: LogCursor
        self._lease_holds: bool | None = None
        #: A transaction waits for another one for long.
        self._is_delayed = False
        #: The run ends: a server that is away is asked a limited number of times.
        self.is_ending = False
        self._last_tries = _LAST_TRIES
        #: The server does not answer, and the run waits for it.
        self.is_away = False
        #: The lock of those who work on the campaign's last batch, once this run does; each new session takes it.
        self.works_on: dict[str, int] | None = None
        self._wait = threading.Event()

    def start(self, session: PostgresConnection, campaign: int, terms: WorkTerms) -> None:
        """Begin to write for a campaign, by its id."""
        self._campaign, self._terms = campaign, terms
        self.is_ending, self._last_tries = False, _LAST_TRIES
        self._wait.clear()
        self.begin_session(session)

    def end(self) -> None:
        """Look for the last transaction no more: the worker's row, which tells of it, is removed."""
        self._committed = (0, 0)

    def abandon(self) -> None:
        """Ask a server that is away no more."""
        self.is_ending, self._last_tries = True, 0
        self._wait.set()

    def has_lease(self) -> bool:
        """Return whether the worker's lease held when the transaction began."""
        if self._lease_holds is None:
            row = self._mark.fetchone()
            self._lease_holds = bool(row and row[0])
        return self._lease_holds

    def transact(self, session: PostgresConnection, work: Callable[[], T], *, alone: bool) -> T:
        """Return what `work` returns, when its transaction is durable; made again until it is.

        Raises:
            ContestedError: `work` has raised it.
            psycopg.Error: the server refuses a statement, or is away for too long at the run's end.
        """
        while True:
            worker, number = self._worker(), self._number + 1
            self._number, is_committing = number, False
            try:
                with session.pipeline():
                    session.begin_group(self._campaign, alone=alone)
                    self._mark = session.execute(WORKERS.mark_transaction, {"worker": worker, "number": number})
                    self._lease_holds = None
                    result = work()
                    is_committing = True
                    session.commit()
                self._committed = (worker, number)
            except psycopg.Error as error:
                may_be_committed = is_committing and session.is_lost
                self.overcome(session, error)
                if may_be_committed and self._is_last(session, worker, number):
                    return result
                continue
            except ContestedError:
                self._roll_back(session)
                raise
            if self._is_delayed and self._terms:
                self._is_delayed = False
                self._terms.say("The log is free again; the run goes on")
            return result

    def _is_last(self, session: PostgresConnection, worker: int, number: int) -> bool:
        """Return whether the transaction with this number was committed; wait for its end if it has not ended."""
        while True:
            try:
                row = session.execute(WORKERS.last_transaction, {"worker": worker}).fetchone()
            except psycopg.Error as error:
                self.overcome(session, error)
            else:
                return row is not None and row[0] == number

    def overcome(self, session: PostgresConnection, error: psycopg.Error) -> None:
        """Return when the transaction can be made again after an error; raise the error if it cannot."""
        if session.is_lost or isinstance(error, errors.ReadOnlySqlTransaction | errors.OperatorIntervention):
            self.reconnect(session, error)
        elif isinstance(error, errors.SerializationFailure | errors.DeadlockDetected | errors.LockNotAvailable):
            session.rollback()
            if isinstance(error, errors.LockNotAvailable) and not self._is_delayed and self._terms:
                self._is_delayed = True
                self._terms.say("Waiting for another run that prepares this campaign, or a command that changes it")
        else:
            raise error

    def _roll_back(self, session: PostgresConnection) -> None:
        try:
            session.rollback()
        except psycopg.Error as error:
            self.overcome(session, error)

    def reconnect(self, session: PostgresConnection, error: psycopg.Error) -> None:
        """Replace the lost connection, however long the server is away; raise the error if the run is at its end.

        Raises:
            LostCommitsError: the server that answers lacks a transaction of this worker that was committed.
        """
        assert self._terms is not None  # noqa: S101 - set in `start`
        is_told, tries_at_end = False, 0
        while why := self._try_to_reconnect(session, self._terms.lease_s):
            if not is_told:
                self._terms.say(f"Waiting for PostgreSQL at {self._url}: {why}")
                is_told = self.is_away = True
            tries_at_end += self.is_ending
            if tries_at_end > self._last_tries:
                raise error
            self._wait.wait(_RETRY_S)
        self.is_away = False
        if is_told:
            self._terms.say("PostgreSQL answers again; the run goes on")

    def _try_to_reconnect(self, session: PostgresConnection, lease_s: float) -> str:
        """Try once to replace the lost connection; return why it cannot be had, or nothing."""
        try:
            fresh = open_session(self._url, wait_s=_WAIT_S, lease_s=lease_s)
            with closing_after_error(fresh):
                if self._backend:
                    old = dict(zip(("pid", "backend_start"), self._backend, strict=True))
                    fresh.execute(WORKERS.end_session, old)
                if not fresh.try_to_hold(is_shared=True):
                    raise errors.LockNotAvailable("another command changes the log")
                self.begin_session(fresh)
                self.require_all_commits(fresh)
        except LostCommitsError:
            raise
        except psycopg.Error as failure:  # also of a server that is lost again while it is asked
            return reason_of(failure)
        session.replace(fresh)
        return ""

    def require_all_commits(self, session: PostgresConnection) -> None:
        """Raise LostCommitsError if the server lacks the last transaction that was committed."""
        worker, number = self._committed
        if not number:
            return
        row = session.execute(WORKERS.known_transaction, {"worker": worker}).fetchone()
        if row is None or row[0] < number:
            raise LostCommitsError("the server lacks what it had committed")

    def begin_session(self, session: PostgresConnection) -> None:
        """Let the server end the session of a run that is suspended within a transaction: others wait for its locks."""
        session.execute(WORKERS.begin_worker_session)
        if self._terms:
            notice_loss_within(session, self._url, self._terms.lease_s)
        if self.works_on:
            session.execute(WORKERS.share_lock, self.works_on)
        row = session.execute(WORKERS.session).fetchone()
        self._backend = (row[0], row[1]) if row else None
