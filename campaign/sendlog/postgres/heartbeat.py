"""Keep a worker's lease, and recover the rows of workers that are gone: `Heartbeat`, a thread with its own session."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import closing, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg.errors import LockNotAvailable

from campaign.errors import LogHeldError, SendLogUnusableError
from campaign.sendlog.counts import Recovered
from campaign.sendlog.postgres.session import open_session
from campaign.sendlog.postgres.statements import WORKERS
from campaign.sendlog.recovery import recover

if TYPE_CHECKING:
    from collections.abc import Iterable

    from campaign.config.postgres_url import PostgresUrl
    from campaign.sendlog.database import LogConnection
    from campaign.sendlog.postgres.connection import PostgresConnection
    from campaign.sendlog.worker import WorkTerms

#: A lease is renewed this many times while it lasts, so that it outlives a few lost beats.
BEATS_PER_LEASE = 10
#: The first key of the lock that a worker's session has: "CAMW" in ASCII.
_ALIVE = 0x43414D57
#: How long a statement of the heartbeat waits for a lock (seconds).
_WAIT_S = 5
#: A beat that failed is made again after this time (seconds).
_RETRY_S = 2.0


#: The workers of this process that could not be removed, because the server was away; by the log's name.
_left_behind: dict[str, set[int]] = {}


class Gone(NamedTuple):
    """A worker that was found to be gone, and removed."""

    id: int
    host: str
    pid: int
    #: For how long nothing was heard of it (seconds).
    silent_s: float


class Heartbeat:
    """Registers a worker, renews its lease, and removes the workers whose lease has run out.

    If others have removed this worker meanwhile, it registers anew, with another id: its rows are theirs then.

    Args:
        url: the database.
        campaign: the campaign's id.
        terms: the lease; who is told what happened.
    """

    def __init__(self, url: PostgresUrl, campaign: int, terms: WorkTerms) -> None:
        self._url = url
        self._campaign = campaign
        self._terms = terms
        self._session: PostgresConnection | None = None
        self._must_beat = threading.Event()
        self._is_stopping = False
        self._is_draining = False
        #: That a worker of another version has taken the place of this one, which waits for its end.
        self._is_told = False
        #: The worker's id; another one after it was removed.
        self.worker = 0
        self._thread = threading.Thread(target=self._work, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Register the worker and start the thread.

        Raises:
            psycopg.Error: the server does not answer.
            LogHeldError: a worker of another version uses the log.
        """
        session = self._opened()
        if ids := _left_behind.pop(str(self._url), None):
            session.execute(WORKERS.give_up_leases, {"ids": list(ids)})
        self._register(session)
        self._thread.start()

    def drain(self) -> None:
        """Let others see that this worker claims no more rows."""
        self._is_draining = True
        self._must_beat.set()

    def stop(self) -> None:
        """End the thread, give back the rows that were claimed and not begun, and remove the worker.

        If the server does not answer, its lease does the same later, or at once the next worker of this process.
        """
        self._is_stopping = True
        self._must_beat.set()
        self._thread.join()
        with suppress(psycopg.Error, SendLogUnusableError), closing(self._opened()) as session:
            worker = {"worker": self.worker}
            session.begin_group(self._campaign)
            session.execute(WORKERS.give_all_back, worker)
            session.execute(WORKERS.unregister, worker)
            session.commit()
            return
        _left_behind.setdefault(str(self._url), set()).add(self.worker)

    def _work(self) -> None:
        interval = wait = self._terms.lease_s / BEATS_PER_LEASE
        while True:
            self._must_beat.wait(wait)
            self._must_beat.clear()
            if self._is_stopping:
                break
            try:
                self._beat(self._opened())
                wait = interval
            except (psycopg.Error, SendLogUnusableError):
                self._close()
                self._terms.look()  # the writer says what it waits for, also in a run that waits for its rate
                wait = min(_RETRY_S, interval)
            except LogHeldError as error:  # without a lease nothing is begun until that run has ended
                if not self._is_told:
                    self._terms.say(f"{str(error)[0].upper()}{str(error)[1:]}")
                self._is_told = True

    def _beat(self, session: PostgresConnection) -> None:
        beat = {"worker": self.worker, "lease": self._terms.lease_s, "is_draining": self._is_draining}
        if not session.execute(WORKERS.beat, beat).rowcount:
            self._register(session)
            self._terms.say(
                "Nothing was heard of this run for longer than its lease, so its rows were given to others; it goes on"
            )
        self._terms.follow(session)
        if gone := missing(session, but=self.worker):
            try:
                session.begin_short()
                buried, recovered = bury(session, gone, now=self._terms.now())
                session.commit()
            except LockNotAvailable:  # the next beat tries it again
                session.rollback()
                return
            for each in buried:
                self._terms.say(_obituary(each, recovered))

    def _register(self, session: PostgresConnection) -> None:
        its_version = version("campaign")
        mine: dict[str, object] = {"campaign": self._campaign, "host": socket.gethostname(), "pid": os.getpid()}
        row = session.execute(
            WORKERS.register, {**mine, "version": its_version, "lease": self._terms.lease_s}
        ).fetchone()
        assert row is not None  # noqa: S101 - RETURNING has one
        # Look after the own entry is there: of two workers that start together at least one sees the other.
        if other := session.execute(WORKERS.others_version, {"version": its_version}).fetchone():
            session.execute(WORKERS.unregister, {"worker": int(row[0])})
            host, pid, others_version = other
            raise LogHeldError(
                f"process {pid} on {host} uses the send log {self._url} with campaign {others_version}, and this is "
                f"campaign {its_version}: two versions must not mix. End that run first, or use the same version here"
            )
        self.worker, self._is_told = int(row[0]), False
        session.execute(WORKERS.mark_alive, {"kind": _ALIVE, "worker": self.worker})

    def _opened(self) -> PostgresConnection:
        if self._session is None or not self._session.is_open:
            self._session = open_session(self._url, wait_s=_WAIT_S, lease_s=self._terms.lease_s)
            if self.worker:
                self._session.execute(WORKERS.mark_alive, {"kind": _ALIVE, "worker": self.worker})
        return self._session

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(psycopg.Error):
                session.close()


def missing(connection: LogConnection, *, but: int) -> list[int]:
    """Return the ids of workers that are gone: their lease has run out, or their process on this host has ended."""
    host, found = socket.gethostname(), []
    for worker, its_host, pid, is_late, is_connected in connection.execute(WORKERS.late, {"kind": _ALIVE}).fetchall():
        # a container may have this host's name and processes of its own: the session says whether it lives
        is_dead = its_host == host and not is_connected and not _is_running(pid)
        if worker != but and (is_late or is_dead):
            found.append(worker)
    return found


def bury(connection: LogConnection, gone: Iterable[int], *, now: float) -> tuple[list[Gone], Recovered]:
    """Remove workers that are gone, within a transaction, and recover their rows; return who they were.

    Raises:
        psycopg.errors.LockNotAvailable: another transaction has one of the rows.
    """
    buried = [Gone(*row) for row in connection.execute(WORKERS.bury, {"gone": list(gone)}).fetchall()]
    if not buried:
        return [], Recovered(0, 0, 0)
    connection.execute(WORKERS.lock_lost)
    recovered = recover(connection, now=now)
    connection.execute(WORKERS.release_claims)
    return buried, recovered


def recover_all(connection: LogConnection, *, but: int, now: float) -> Recovered:
    """Recover, within a transaction, the rows of workers that are gone, except one, and rows that no worker has.

    If another transaction has one of them, because it prepares their campaign, nothing is recovered: the heartbeat of
    any worker tries it again.
    """
    connection.execute(WORKERS.begin_recovery)
    try:
        _, recovered = bury(connection, missing(connection, but=but), now=now)
        connection.execute(WORKERS.lock_lost)
        return recovered + recover(connection, now=now)
    except LockNotAvailable:
        connection.execute(WORKERS.undo_recovery)
        return Recovered(0, 0, 0)


def _obituary(gone: Gone, recovered: Recovered) -> str:
    return (
        f"Process {gone.pid} on {gone.host} was last heard of {gone.silent_s:.0f} s ago; its rows are recovered: "
        f"{recovered.uncertain} uncertain, {recovered.revocations} with a token to revoke, {recovered.orphans} with a "
        "possible orphan (a token whose id is not known)"
    )


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
