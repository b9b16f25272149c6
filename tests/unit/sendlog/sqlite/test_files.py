"""The send log's files: private, used by one run at a time, and never another program's file."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from campaign.errors import LogHeldError, SendLogUnusableError
from campaign.model import Status
from campaign.sendlog import LogReader, SendLog, held
from campaign.sendlog.sqlite.files import VERSION, open_for_writing
from support.fake_clock import FakeClock
from support.sendlog_helpers import bring, enlist, make_schema_3, opened, people, table, working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from campaign.model import Delivery

NONE = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "send-log.db"


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Create files under another umask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def powerless() -> Iterator[Path]:
    """Yield a folder while this process has no root rights."""
    with tempfile.TemporaryDirectory() as name:
        folder, root = Path(name), os.geteuid() == 0
        if root:
            os.chown(folder, NONE, NONE)
            os.seteuid(NONE)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o700)


def test_every_file_is_private(path: Path) -> None:
    """Log, write-ahead log, index and lock are 0600 from the start, whatever the umask."""
    with umask(0), held(path), opened(path) as log:
        enlist(log, people(3))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys([path.name + end for end in ("", "-wal", "-shm", ".lock")], 0o600)


def test_an_open_log_is_made_private(path: Path) -> None:
    """A log that other users may read or write, and what lies beside it, gets mode 0600 when it is used."""
    with umask(0), held(path), opened(path) as log:
        enlist(log, people(3))
        for file in path.parent.iterdir():
            file.chmod(0o666)
        with opened(path):
            modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
def test_a_log_of_another_user_that_all_may_write_is_refused(path: Path) -> None:
    """A log that belongs to another user and that every user may write is refused and not changed."""
    open_for_writing(path).close()
    path.chmod(0o666)
    os.chown(path, 12345, -1)
    with pytest.raises(SendLogUnusableError, match=r"every user of this machine .*chmod 600 "):
        open_for_writing(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    """A log in a folder that does not exist is refused with the setting's name, and the folder is not created."""
    path = tmp_path / "nowhere" / "send-log.db"
    for attempt in (lambda: open_for_writing(path), lambda: held(path).__enter__()):
        with pytest.raises(SendLogUnusableError, match=r"folder .*nowhere.* does not exist.*CAMPAIGN_LOG"):
            attempt()
    with pytest.raises(SendLogUnusableError, match=r"send log .* does not exist yet"):
        LogReader(path)
    assert not path.parent.exists()


@pytest.mark.parametrize("exists", [True, False], ids=["to a file", "to nothing"])
def test_no_symbolic_link_is_followed(tmp_path: Path, *, exists: bool) -> None:
    """A log that is a symbolic link is refused, and its target is not touched."""
    path, target = tmp_path / "send-log.db", tmp_path / "target"
    if exists:
        target.write_bytes(b"mine")
    path.symlink_to(target)
    for attempt in (lambda: open_for_writing(path), lambda: held(path).__enter__(), lambda: LogReader(path)):
        with pytest.raises(SendLogUnusableError, match="symbolic link"):
            attempt()
    assert (target.read_bytes() == b"mine") if exists else not target.exists()


def test_no_symbolic_link_is_followed_as_a_lock(path: Path) -> None:
    """A lock file that is a symbolic link is refused."""
    path.with_name("send-log.db.lock").symlink_to(path.with_name("elsewhere"))
    with pytest.raises(SendLogUnusableError, match=r"send-log\.db\.lock"), held(path):
        pass
    assert not path.with_name("elsewhere").exists()


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    """A folder given as the log is refused."""
    with pytest.raises(SendLogUnusableError, match="not a file"):
        open_for_writing(tmp_path)


def another_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")


def newer_log(path: Path) -> None:
    open_for_writing(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")


def torn_log(path: Path) -> None:
    with opened(path) as log:
        enlist(log, people(500))
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xde\xad" * 20_000 + data[44_096:])


def short_log(path: Path) -> None:
    with opened(path) as log:
        enlist(log, people(500))
    path.write_bytes(path.read_bytes()[:4096])


def look_into(path: Path) -> None:
    with closing(LogReader(path)) as reader:
        reader.summary("trial", now=0.0)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_bytes(b"to do: write a send log\n" * 100), "is not a send log and was not changed"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000), "send log"),
        (another_database, "is not a send log and was not changed"),
        (newer_log, "newer version of campaign"),
        (torn_log, "is damaged"),
        (short_log, "is damaged"),
    ],
    ids=["a text", "nonsense", "another database", "newer", "torn", "cut short"],
)
@pytest.mark.parametrize("reading", [False, True], ids=["to write", "to read"])
def test_what_is_no_good_log_is_refused(
    path: Path, make: Callable[[Path], object], sentence: str, *, reading: bool
) -> None:
    """A file that is not a send log, is damaged, or is of a newer version is refused and stays unchanged."""
    make(path)
    before = path.read_bytes()
    with pytest.raises(SendLogUnusableError, match=sentence):
        look_into(path) if reading else SendLog(path, "trial", FakeClock())
    assert path.read_bytes() == before


def test_a_locked_log_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that another process keeps locked is refused with an error message after a timeout."""
    monkeypatch.setattr("campaign.sendlog.sqlite.files._LOCK_TIMEOUT_S", 0.05)
    with opened(path) as log:
        enlist(log, people(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("PRAGMA user_version = 1")
        for attempt in (lambda: open_for_writing(path), lambda: LogReader(path)):
            with pytest.raises(SendLogUnusableError, match="locked by another process"):
                attempt()


def test_a_log_that_cannot_be_written_is_refused() -> None:
    """A read-only log is refused with an error message."""
    with powerless() as folder:
        path = folder / "send-log.db"
        open_for_writing(path).close()
        path.chmod(0o400)
        with pytest.raises(SendLogUnusableError, match=r"cannot be (opened|written)"):
            open_for_writing(path)


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    """A log in a read-only folder is refused with an error message."""
    with powerless() as folder:
        path = folder / "send-log.db"
        open_for_writing(path).close()
        folder.chmod(0o555)
        for attempt in (lambda: open_for_writing(path), lambda: held(path).__enter__()):
            with pytest.raises(SendLogUnusableError, match="cannot be"):
                attempt()


def test_one_log_has_one_runner(path: Path) -> None:
    """While one run holds the log's lock a second run is refused, and afterwards it is accepted."""
    with held(path), pytest.raises(LogHeldError, match="another run uses the send log"), held(path):
        pass
    with held(path):
        pass


def test_a_lock_does_not_outlive_a_log_that_never_was(path: Path) -> None:
    """The lock file is removed if no log was made, and is kept beside an existing log."""
    with held(path):
        pass
    assert list(path.parent.iterdir()) == []
    with held(path):
        open_for_writing(path).close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["send-log.db", "send-log.db.lock"]


def test_a_lock_that_was_taken_away_holds_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the lock file is removed between open and lock, the run locks the new file, so only one run holds the lock."""
    lock, real = path.with_name("send-log.db.lock"), os.open

    def open_late(name: Path, *how: int) -> int:
        descriptor = real(name, *how)
        if not late:
            late.append(descriptor)
            lock.unlink()
        return descriptor

    late: list[int] = []
    monkeypatch.setattr("campaign.sendlog.sqlite.files.os.open", open_late)
    with held(path):
        assert lock.exists()
        with pytest.raises(LogHeldError), held(path):
            pass


def test_there_is_nothing_to_read_yet(path: Path) -> None:
    """Reading a log that does not exist fails with the command that creates it, and creates nothing."""
    with pytest.raises(SendLogUnusableError, match=r"send log .* does not exist yet; `campaign run FILE`"):
        LogReader(path)
    assert not path.exists()


def test_an_older_log_is_brought_up_to_date(path: Path) -> None:
    """A log of the first version is migrated; what it did not record of revocations is stored as unknown."""
    with opened(path) as log:
        enlist(log, people(3))
        working(log, lambda rows: _fail_two(log, rows))
        columns = table(path, "SELECT * FROM pragma_table_info('revocation')")
        schema = table(path, "SELECT name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') ORDER BY name")
    with closing(sqlite3.connect(path)) as connection:
        make_schema_3(connection)
        connection.execute("ALTER TABLE revocation DROP COLUMN unanswered")
        connection.execute("DROP INDEX history_resent")
        for name in ("tag_key", "campaign_list", "suppression", "report", "soft_bounce"):
            connection.execute(f"DROP TABLE {name}")
        connection.execute("DROP TRIGGER delivery_end_state")
        connection.execute("CREATE TRIGGER delivery_end_state AFTER DELETE ON delivery BEGIN SELECT 'as it was'; END")
        connection.execute("PRAGMA user_version = 1")
    look_into(path)
    with opened(path) as log:
        assert log.summary().revocations == 1
        assert table(path, "SELECT * FROM pragma_table_info('revocation')") == columns
        statement = "SELECT name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') ORDER BY name"
        assert table(path, statement) == schema
        assert table(path, "SELECT unanswered FROM revocation") == [{"unanswered": 0}, {"unanswered": 1}]
        assert table(path, "PRAGMA user_version") == [{"user_version": VERSION}]


async def _fail_two(log: SendLog, rows: list[Delivery]) -> None:
    for row in rows[:2]:
        await bring(log, row, Status.FAILED)
    await log.settle_revocation("sit_1_1", "revoked")


def test_an_empty_file_becomes_a_log(path: Path) -> None:
    """An empty file, as `touch` or `mktemp` creates it, is accepted as a new log."""
    path.touch()
    with opened(path) as log:
        assert enlist(log, people(2)).added == 2


def test_a_token_stands_nowhere_in_the_files(path: Path) -> None:
    """The files contain a token's id but never the token."""

    async def work(deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            await bring(log, delivery, (Status.SENT, Status.FAILED)[delivery.id % 2])

    with opened(path) as log:
        enlist(log, people(4))
        working(log, work)
        kept = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"sit_1_1" in kept
    assert b"secret-" not in kept


def test_a_lock_says_what_holds_it(path: Path) -> None:
    """Who wants a log that a watch holds learns that it goes on; the next holder leaves no old name."""
    said = r"`campaign watch` uses .* and goes on"
    with held(path, by="campaign watch"), pytest.raises(LogHeldError, match=said), held(path):
        pass
    path.touch()
    with held(path), pytest.raises(LogHeldError, match="another run uses"), held(path):
        pass
