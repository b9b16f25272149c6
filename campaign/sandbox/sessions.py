"""Store browsers and their signed-in sessions in the database: `Sessions`. Their JSON: `frontend_objects.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.sandbox.identifiers import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from campaign.sandbox.database import Database

#: Clerk's default session lifetime, seven days, in milliseconds.
_LIFETIME_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Session:
    """A user's sign-in in one browser; instants are milliseconds since the epoch."""

    id: str
    browser_id: str
    user_id: str
    #: The organization that is open in it; None for none.
    org_id: str | None
    #: `active`, `ended` or `removed`.
    status: str
    created_at: int
    updated_at: int
    last_active_at: int
    expires_at: int


class Sessions:
    """The sessions of all browsers. A browser has at most one active session, as is Clerk's default."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def new_browser(self) -> str:
        """Return the id of a new browser; any client that sends this id counts as that browser."""
        browser_id = new_id("dvb")
        with self._database.transaction() as connection:
            connection.execute("INSERT INTO browsers VALUES (?, ?)", (browser_id, self._database.now()))
        return browser_id

    def knows(self, browser_id: str) -> bool:
        """Return whether this browser exists."""
        return self._database.one("SELECT 1 FROM browsers WHERE id = ?", browser_id) is not None

    def of_browser(self, browser_id: str) -> Sequence[Session]:
        """Return all sessions of a browser, past and active, newest first."""
        rows = self._database.all("SELECT * FROM sessions WHERE browser_id = ? ORDER BY number DESC", browser_id)
        return [_session(row) for row in rows]

    def of_user(self, user_id: str) -> Sequence[Session]:
        """Return all sessions of a user, past and active, newest first."""
        rows = self._database.all("SELECT * FROM sessions WHERE user_id = ? ORDER BY number DESC", user_id)
        return [_session(row) for row in rows]

    def active(self, browser_id: str) -> Session | None:
        """Return the browser's session that has neither ended nor expired, or None."""
        row = self._database.one(
            "SELECT * FROM sessions WHERE browser_id = ? AND status = 'active' AND expires_at > ? ORDER BY number DESC",
            browser_id,
            self._database.now(),
        )
        return None if row is None else _session(row)

    def begin(self, browser_id: str, user_id: str, org_id: str | None = None) -> Session:
        """Start a session of the user in the browser, with this organization open, and return it."""
        moment = self._database.now()
        end = moment + _LIFETIME_MS
        session = Session(new_id("sess"), browser_id, user_id, org_id, "active", moment, moment, moment, end)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO sessions (id, browser_id, user_id, org_id, status, created_at, updated_at,"
                " last_active_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (session.id, browser_id, user_id, org_id, session.status, moment, moment, moment, end),
            )
            connection.execute("UPDATE users SET last_sign_in_at = ? WHERE id = ?", (moment, user_id))
        return session

    def touch(self, session: Session) -> None:
        """Set the session's last activity to now."""
        moment = self._database.now()
        with self._database.transaction() as connection:
            connection.execute("UPDATE sessions SET last_active_at = ? WHERE id = ?", (moment, session.id))

    def finish(self, browser_id: str, *, status: str, session_id: str | None = None) -> None:
        """Set the browser's active sessions, or only `session_id`, to `ended` or `removed`."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE sessions SET status = ?1, updated_at = ?2"
                " WHERE browser_id = ?3 AND status = 'active' AND (?4 IS NULL OR id = ?4)",
                (status, self._database.now(), browser_id, session_id),
            )


def _session(row: sqlite3.Row) -> Session:
    return Session(
        row["id"],
        row["browser_id"],
        row["user_id"],
        row["org_id"],
        row["status"],
        row["created_at"],
        row["updated_at"],
        row["last_active_at"],
        row["expires_at"],
    )
