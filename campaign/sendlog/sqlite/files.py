"""Open, create, check and lock the send log's file: `open_for_writing`, `open_for_reading`, `held`."""

from __future__ import annotations

import fcntl
import os
import shlex
import sqlite3
import stat
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from campaign.errors import LogHeldError, SendLogUnusableError
from campaign.sendlog.movement import guarded, is_guard_text, read_movements, refusal
from campaign.sendlog.sqlite.connection import SqliteConnection
from campaign.sendlog.sqlite.statements import MOVING, SQL, script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: "CAMP" in the header of the database file, so that other programs' databases are recognised.
APPLICATION_ID = 0x43414D50
#: Goes up with every change of `schema.sql`; `migrations.sql` then needs a statement that migrates the last version.
VERSION = 4
#: Before this version the tables had no steps and no batches.
_FIRST_WITH_STEPS = 4
#: Seconds to wait for another process's lock, such as that of a backup.
_LOCK_TIMEOUT_S = 10.0
#: The endings of the log's own file, of SQLite's files beside it, and of the lock.
_ENDS = ("", "-wal", "-shm", ".lock")
#: The most that is read of what holds the lock.
_MAX_HOLDER_BYTES = 100
_ELSEWHERE = "make it and its folder writable, or set CAMPAIGN_LOG to another file"


@contextmanager
def held(path: Path, *, by: str = "") -> Iterator[None]:
    """Lock the log during the block, so that at most one process writes to it.

    The lock is on a separate file beside the log, because SQLite's own (POSIX) locks are released when any descriptor
    of the database is closed. If no log exists at the end, the lock file is removed.

    Args:
        path: the log.
        by: what holds it, for whoever wants it meanwhile, such as `campaign watch`; empty: a run.

    Raises:
        LogHeldError: another run has the lock.
        SendLogUnusableError: the lock file cannot be created.
    """
    _refuse_strange_places(path)
    lock = path.with_name(path.name + ".lock")
    descriptor = _locked(lock, path)
    while not _is_there(descriptor, lock):  # the last owner removed the file before we locked it
        os.close(descriptor)
        descriptor = _locked(lock, path)
    with suppress(OSError):  # the name is for people: without room for it the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, by.encode(), 0)
    try:
        yield
    finally:
        if not path.exists():
            lock.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(lock: Path, path: Path) -> int:
    """Return a descriptor of the lock file, locked."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SendLogUnusableError(f"the lock {lock} cannot be opened ({error.strerror}); {_ELSEWHERE}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, _MAX_HOLDER_BYTES, 0).decode(errors="replace")
        os.close(descriptor)
        raise LogHeldError(
            f"`{holder}` uses the send log {path} and goes on; look at it with `campaign status`, or stop it first"
            if holder
            else f"another run uses the send log {path}; wait until it ends, or watch it with `campaign status`"
        ) from error
    return descriptor


def _is_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def discard(path: Path) -> None:
    """Delete a closed log, with the files that SQLite keeps beside it."""
    for end in _ENDS[:-1]:
        path.with_name(path.name + end).unlink(missing_ok=True)


def open_for_writing(path: Path) -> SqliteConnection:
    """Return a connection to the log; create the log (mode 0600) if it does not exist, and migrate an older one.

    Raises:
        SendLogUnusableError: no such folder, a symbolic link, locked, read-only, corrupt, newer, or not a send log.
    """
    with _sentences(path):
        connection = open_to_move(path)
        try:
            connection.execute("BEGIN IMMEDIATE")
            _refuse_moved(connection, path)
            bring_up_to_date(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection


def open_to_move(path: Path) -> SqliteConnection:
    """Return a connection that writes, without a transaction, to a log that may have no tables yet, or was moved.

    Raises:
        SendLogUnusableError: as `open_for_writing`.
    """
    _refuse_strange_places(path)
    with _sentences(path):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            raise SendLogUnusableError(
                f"the send log {path} cannot be opened ({error.strerror}); {_ELSEWHERE}"
            ) from error
        connection = sqlite3.connect(
            path, timeout=_LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False, factory=SqliteConnection
        )
        try:
            if not is_empty(connection):
                _check_identity(connection, path)
            _make_private(path)
            # with FULL, a commit returns only when the write-ahead log is on the disk
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cache_size = -16000")
        except BaseException:
            connection.close()
            raise
        return connection


def open_for_reading(path: Path) -> SqliteConnection:
    """Return a read-only connection; it may be open while a run writes.

    Raises:
        SendLogUnusableError: there is no log, or it cannot be read.
    """
    if not path.exists() and not path.is_symlink():
        raise SendLogUnusableError(f"the send log {path} does not exist yet; `campaign run FILE` creates it")
    _refuse_strange_places(path)
    with _sentences(path):
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(
            uri, uri=True, timeout=_LOCK_TIMEOUT_S, isolation_level=None, factory=SqliteConnection
        )
        try:
            if _check_identity(connection, path) < _FIRST_WITH_STEPS:
                _execute(connection, SQL.seen_as_4)
        except BaseException:
            connection.close()
            raise
        return connection


def _refuse_strange_places(path: Path) -> None:
    if not path.parent.is_dir():
        raise SendLogUnusableError(
            f"the folder {path.parent} of the send log does not exist; create it, or set CAMPAIGN_LOG"
        )
    if path.is_symlink():
        raise SendLogUnusableError(f"the send log {path} is a symbolic link; set CAMPAIGN_LOG to the file itself")
    if path.exists() and not path.is_file():
        raise SendLogUnusableError(f"the send log {path} is not a file; set CAMPAIGN_LOG to a file")


def _refuse_moved(connection: SqliteConnection, path: Path) -> None:
    sentence = refusal(path, read_movements(connection, MOVING))
    if sentence is not None:
        raise SendLogUnusableError(sentence)


def _make_private(path: Path) -> None:
    """Give the log and the files beside it mode 0600: they hold addresses, and decide who is mailed.

    No descriptor is opened here, because closing one would release SQLite's (POSIX) locks.

    Raises:
        SendLogUnusableError: a file belongs to another user, and every user may write it.
    """
    for end in _ENDS:
        file = path.with_name(path.name + end)
        if not file.is_file() or file.is_symlink():
            continue
        about = file.stat()
        if about.st_uid == os.geteuid():
            if stat.S_IMODE(about.st_mode) & 0o077:
                file.chmod(0o600)
        elif about.st_mode & stat.S_IWOTH:
            raise SendLogUnusableError(
                f"{file} can be written by every user of this machine and belongs to another user; have its owner "
                f"type: {shlex.join(['chmod', '600', str(file)])}"
            )


def forget_identity(connection: sqlite3.Connection) -> None:
    """Let a file without tables be a new one."""
    connection.execute("PRAGMA application_id = 0")


def is_empty(connection: sqlite3.Connection) -> bool:
    """Return whether the file is a new one."""
    with closing(connection.execute("SELECT count(*) FROM sqlite_schema")) as rows:
        return bool(rows.fetchone()[0] == 0) and _pragma(connection, "application_id") == 0


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    with closing(connection.execute(f"PRAGMA {name}")) as rows:
        return int(rows.fetchone()[0])


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make the tables if there are none, and migrate those of an older version, within a transaction."""
    if is_empty(connection):
        _execute(connection, script("schema.sql"))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    for version in range(_pragma(connection, "user_version") + 1, VERSION + 1):
        _execute(connection, getattr(SQL, f"to_{version}"))
        connection.execute(f"PRAGMA user_version = {version}")


def _execute(connection: sqlite3.Connection, script: str) -> None:
    """Execute statements one by one, because `executescript` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def _check_identity(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of the log's schema."""
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise SendLogUnusableError(f"{path} is not a send log and was not changed. Set CAMPAIGN_LOG to another file")
    version = _pragma(connection, "user_version")
    if version > VERSION:
        raise SendLogUnusableError(
            f"the send log {path} was written by a newer version of campaign (its schema is {version}, this "
            f"version supports {VERSION}); upgrade campaign, or set CAMPAIGN_LOG to another file"
        )
    return version


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: Exception) -> SendLogUnusableError:
    """Return what an error of SQLite means about a file that cannot be used."""
    name = _name(error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return SendLogUnusableError(f"the send log {path} is locked by another process; close it there and try again")
    if name.startswith("SQLITE_NOTADB"):
        return SendLogUnusableError(f"{path} is not a send log and was not changed. Set CAMPAIGN_LOG to another file")
    if name.startswith("SQLITE_CONSTRAINT") and is_guard_text(str(error)):
        return SendLogUnusableError(guarded(path, str(error)))
    if is_damage(error):
        return SendLogUnusableError(
            f"the send log {path} is damaged ({error}); restore it from a backup before anything is sent"
        )
    if name.startswith("SQLITE_READONLY"):
        return SendLogUnusableError(f"the send log {path} cannot be written; make it and its folder writable")
    return SendLogUnusableError(f"the send log {path} cannot be opened ({error}); {_ELSEWHERE}")


def is_damage(error: Exception) -> bool:
    """Return whether the error means that the file is corrupt."""
    return _name(error).startswith("SQLITE_CORRUPT")


def _name(error: Exception) -> str:
    return getattr(error, "sqlite_errorname", "")
