"""Store sign-in tokens and their status in the database: `TokenStore`. Their JSON: `backend_tokens.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from campaign.sandbox.identifiers import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from campaign.sandbox.database import Database
    from campaign.sandbox.keys import Keys


class TokenStatus(StrEnum):
    """Clerk's statuses of a sign-in token. There is none for expired: an expired token still reads `pending`."""

    PENDING = "pending"
    #: A person signed in with it.
    ACCEPTED = "accepted"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class StoredToken:
    """Clerk's record of a sign-in token, without the JWT itself; instants are milliseconds since the epoch."""

    id: str
    user_id: str
    #: The organization that the token opens; None for none.
    org_id: str | None
    status: TokenStatus
    created_at: int
    updated_at: int
    expires_at: int

    #: Whether it was still pending, but past its expiry, when it was read.
    expired: bool


class TokenStore:
    """Clerk's sign-in tokens. Every change is one transaction: of concurrent redemptions only one succeeds."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    def create(self, user_id: str, *, seconds: int, org_id: str | None = None) -> tuple[StoredToken, str] | None:
        """Return a new token that expires after `seconds`, and its JWT; None if there is no such user."""
        moment = self._database.now()
        expires_at = moment + seconds * 1000
        token = StoredToken(
            new_id("sit"), user_id, org_id, TokenStatus.PENDING, moment, moment, expires_at, expired=False
        )
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM users WHERE id = ?", (user_id,)).fetchone() is None:
                return None
            connection.execute(
                "INSERT INTO sign_in_tokens (id, user_id, org_id, status, created_at, updated_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (token.id, user_id, org_id, token.status, moment, moment, token.expires_at),
            )
        claims = {
            "eid": user_id,
            "exp": token.expires_at // 1000,
            "iat": moment // 1000,
            "iid": self._keys.instance,
            "sid": token.id,
            "st": "sign_in_token",
        } | ({"org_id": org_id} if org_id else {})
        return token, self._keys.sign(claims, cat="cl_B7d4PD222AAA")

    def id_in(self, ticket: str) -> str | None:
        """Return the token id in a JWT, whatever the token's status; None if this sandbox did not sign the JWT."""
        claims = self._keys.claims_of(ticket)
        if claims is None or claims.get("st") != "sign_in_token":
            return None
        return str(claims.get("sid"))

    def get(self, token_id: str) -> StoredToken | None:
        """Return the token with this id."""
        row = self._database.one("SELECT * FROM sign_in_tokens WHERE id = ?", token_id)
        return None if row is None else self._token(row)

    def find(self, *, user_id: str | None = None, limit: int = 100, offset: int = 0) -> Sequence[StoredToken]:
        """Return tokens, newest first, optionally only those of one user."""
        return [
            self._token(row)
            for row in self._database.all(
                "SELECT * FROM sign_in_tokens WHERE ?1 IS NULL OR user_id = ?1 ORDER BY number DESC LIMIT ?2 OFFSET ?3",
                user_id,
                limit,
                offset,
            )
        ]

    def redeem(self, token_id: str) -> bool:
        """Redeem the token and return True; return False if it is used, revoked, expired or unknown."""
        moment = self._database.now()
        return self._change(
            "UPDATE sign_in_tokens SET status = 'accepted', updated_at = ?"
            " WHERE id = ? AND status = 'pending' AND expires_at > ?",
            (moment, token_id, moment),
        )

    def revoke(self, token_id: str) -> bool:
        """Revoke the token and return True; return False if it is not pending or unknown."""
        return self._change(
            "UPDATE sign_in_tokens SET status = 'revoked', updated_at = ? WHERE id = ? AND status = 'pending'",
            (self._database.now(), token_id),
        )

    def expire(self, token_id: str) -> bool:
        """Expire a pending token now and return True; return False if it is not pending."""
        moment = self._database.now()
        return self._change(
            "UPDATE sign_in_tokens SET expires_at = ? WHERE id = ? AND status = 'pending'", (moment, token_id)
        )

    def _change(self, sql: str, values: tuple[object, ...]) -> bool:
        with self._database.transaction() as connection:
            return connection.execute(sql, values).rowcount == 1

    def _token(self, row: sqlite3.Row) -> StoredToken:
        status = TokenStatus(row["status"])
        return StoredToken(
            row["id"],
            row["user_id"],
            row["org_id"],
            status,
            row["created_at"],
            row["updated_at"],
            row["expires_at"],
            expired=status is TokenStatus.PENDING and row["expires_at"] <= self._database.now(),
        )
