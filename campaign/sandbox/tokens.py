"""Sign-in tokens and what becomes of them, in the database. On the wire: `backend_tokens.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from campaign.sandbox.database import now
from campaign.sandbox.identifiers import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from campaign.sandbox.database import Database
    from campaign.sandbox.keys import Keys


class TokenStatus(StrEnum):
    """Clerk's states of a sign-in token. There is none for an expired one: it still reads `pending`."""

    PENDING = "pending"
    #: Somebody signed in with it.
    ACCEPTED = "accepted"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class SignInToken:
    """What Clerk knows of a sign-in token. The credential itself is not kept; instants are milliseconds."""

    id: str
    user_id: str
    status: TokenStatus
    created_at: int
    updated_at: int
    expires_at: int

    @property
    def expired(self) -> bool:
        """Whether it is pending past its end."""
        return self.status is TokenStatus.PENDING and self.expires_at <= now()


class Tokens:
    """Clerk's sign-in tokens. Every change is one transaction, so of many who race for one token one wins."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    def create(self, user_id: str, *, seconds: int) -> tuple[SignInToken, str] | None:
        """Return a new token that lives so many seconds, and its JWT; None where there is no such user."""
        moment = now()
        token = SignInToken(new_id("sit"), user_id, TokenStatus.PENDING, moment, moment, moment + seconds * 1000)
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM users WHERE id = ?", (user_id,)).fetchone() is None:
                return None
            connection.execute(
                "INSERT INTO sign_in_tokens (id, user_id, status, created_at, updated_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (token.id, user_id, token.status, moment, moment, token.expires_at),
            )
        claims = {
            "eid": user_id,
            "exp": token.expires_at // 1000,
            "iat": moment // 1000,
            "iid": self._keys.instance,
            "sid": token.id,
            "st": "sign_in_token",
        }
        return token, self._keys.sign(claims, cat="cl_B7d4PD222AAA")

    def id_in(self, ticket: str) -> str | None:
        """Return the id of the token that a JWT is, whatever became of it; None for a forged one."""
        claims = self._keys.claims_of(ticket)
        if claims is None or claims.get("st") != "sign_in_token":
            return None
        return str(claims.get("sid"))

    def get(self, token_id: str) -> SignInToken | None:
        """Return the token with this id."""
        row = self._database.one("SELECT * FROM sign_in_tokens WHERE id = ?", token_id)
        return None if row is None else _token(row)

    def find(self, *, user_id: str | None = None, limit: int = 100, offset: int = 0) -> Sequence[SignInToken]:
        """Return tokens, the newest first; where a user is given, that user's."""
        return [
            _token(row)
            for row in self._database.all(
                "SELECT * FROM sign_in_tokens WHERE ?1 IS NULL OR user_id = ?1 ORDER BY number DESC LIMIT ?2 OFFSET ?3",
                user_id,
                limit,
                offset,
            )
        ]

    def redeem(self, token_id: str) -> bool:
        """Use the token up and return True, or return False where it is used, revoked, expired or unknown."""
        moment = now()
        return self._change(
            "UPDATE sign_in_tokens SET status = 'accepted', updated_at = ?"
            " WHERE id = ? AND status = 'pending' AND expires_at > ?",
            (moment, token_id, moment),
        )

    def revoke(self, token_id: str) -> bool:
        """Revoke the token and return True, or return False where it is not pending, or unknown."""
        return self._change(
            "UPDATE sign_in_tokens SET status = 'revoked', updated_at = ? WHERE id = ? AND status = 'pending'",
            (now(), token_id),
        )

    def expire(self, token_id: str) -> bool:
        """End a pending token's life now and return True, or return False where it is not pending."""
        moment = now()
        return self._change(
            "UPDATE sign_in_tokens SET expires_at = ? WHERE id = ? AND status = 'pending'", (moment, token_id)
        )

    def _change(self, sql: str, values: tuple[object, ...]) -> bool:
        with self._database.transaction() as connection:
            return connection.execute(sql, values).rowcount == 1


def _token(row: sqlite3.Row) -> SignInToken:
    return SignInToken(
        row["id"],
        row["user_id"],
        TokenStatus(row["status"]),
        row["created_at"],
        row["updated_at"],
        row["expires_at"],
    )
