"""Look at a sandbox's folder between two runs: `latest_in`, and `forget_after`, which deletes what happened later."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from campaign.sandbox.database import Database
from campaign.sandbox.shared_clock import latest_instant

if TYPE_CHECKING:
    from pathlib import Path

#: Milliseconds since the epoch are bound to each statement. The users stay: the CSV's people are added at each start.
_FORGET = (
    "DELETE FROM sign_in_tokens WHERE created_at > ?1",
    "UPDATE sign_in_tokens SET status = 'pending', updated_at = created_at WHERE updated_at > ?1",
    "DELETE FROM sessions WHERE created_at > ?1",
    """UPDATE sessions SET last_active_at = created_at, updated_at = created_at, status = 'active'
    WHERE max(updated_at, last_active_at) > ?1""",
    """UPDATE users SET created_at = min(created_at, ?1), updated_at = min(updated_at, ?1), last_sign_in_at =
        (SELECT max(sessions.created_at) FROM sessions WHERE sessions.user_id = users.id)
    WHERE max(created_at, updated_at, coalesce(last_sign_in_at, 0)) > ?1""",
    "DELETE FROM waitlist_entries WHERE created_at > ?1",
    "UPDATE waitlist_entries SET status = 'pending', updated_at = created_at WHERE updated_at > ?1",
    "DELETE FROM mails WHERE received_at > ?1",
)


def latest_in(folder: Path) -> float:
    """Return when something happened last in the sandbox, in seconds since the epoch; 0 if there is no sandbox.

    Raises:
        SandboxError: its state cannot be read.
    """
    file = folder / "sandbox.db"
    if not file.exists():
        return 0.0
    with closing(Database(file)) as database:
        return latest_instant(database)


def forget_after(folder: Path, instant: float) -> int:
    """Delete what happened after an instant (seconds since the epoch) in the sandbox; return how many mails.

    Raises:
        SandboxError: its state cannot be written.
    """
    file = folder / "sandbox.db"
    if not file.exists():
        return 0
    moment = int(instant * 1000)
    with closing(Database(file)) as database, database.transaction() as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM mails WHERE received_at > ?", (moment,))]
        for statement in _FORGET:
            connection.execute(statement, (moment,))
        for name in names:
            (folder / "mail" / "new" / name).unlink(missing_ok=True)
            for seen in (folder / "mail" / "cur").glob(f"{name}*"):
                seen.unlink(missing_ok=True)
    return len(names)
