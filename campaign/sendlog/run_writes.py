"""The send log during a run, `RunWrites`: claim rows, record each step of a delivery, and settle it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TypeVar

from campaign.errors import PermanentError, SendLogError
from campaign.model import Status
from campaign.sendlog.campaign_connection import CampaignConnection
from campaign.sendlog.group_commit import GroupCommit
from campaign.sendlog.statements import SQL
from campaign.sendlog.suppressions import suppression_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from campaign.model import Delivery, Outcome, SignInToken
    from campaign.sendlog.queue_cursor import QueueCursor

    #: Looks into the log within a step's transaction; an error means that the step is not written.
    _Refusal = Callable[[sqlite3.Connection], PermanentError | None]

T = TypeVar("T")

#: The statements for the steps of a delivery, in the order in which one row goes through them.
_STATEMENTS = {
    "issuing": SQL.issuing,
    "issued": SQL.issued,
    "sending": SQL.sending,
    "settle": SQL.settle,
    "revoke_token": SQL.revoke_token,
    "suppress": SQL.suppress_refused,
    "count_orphan": SQL.count_orphan,
}


class RunWrites(CampaignConnection):
    """`RunLog` in SQLite: a thread commits the writes of many deliveries at once (group commit)."""

    _writer: GroupCommit | None = None

    async def __aenter__(self) -> Self:
        """Start the writer thread; the methods below may be called from now on."""
        self._writer = GroupCommit(self._connection, str(self.path), _STATEMENTS)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish the waiting writes and end the writer thread; the log stays open so that counts can be read."""
        assert self._writer is not None  # noqa: S101 - set in __aenter__
        await asyncio.to_thread(self._writer.close)
        self._writer = None

    async def claim(self, limit: int, cursor: QueueCursor) -> list[Delivery]:
        """Return at most `limit` due rows after the cursor, oldest first.

        Claiming moves only the cursor: a row stays `queued` until its token is requested, so after a crash before
        that there is nothing to recover.
        """
        now = self._clock.now()
        arguments = self._arguments(enlistment=self._enlistment, limit=limit, now=now) | cursor.arguments
        rows = await self._write(lambda connection: connection.execute(SQL.claim, arguments).fetchall())
        return cursor.pass_over(rows, limit, now)

    async def next_due(self, after: float, *, without: Sequence[str] = ()) -> float | None:
        """Return the earliest `not_before` after an instant, or None if no row has a later one.

        Args:
            after: the instant.
            without: leave out the rows of these domains.
        """
        arguments = self._arguments(enlistment=self._enlistment, after=after, domains=json.dumps(list(without)))
        row = await self._write(lambda connection: connection.execute(SQL.next_due, arguments).fetchone())
        return row[0] if row else None

    async def issuing(self, delivery: Delivery, *, user_id: str, expires_in: timedelta) -> Delivery:
        """Record that a token is about to be requested; return the delivery with its new generation.

        Raises:
            PermanentError: the address is suppressed, or an operator has skipped the row.
        """
        now = self._clock.now()
        expires_at = now + expires_in.total_seconds()
        row = {"id": delivery.id, "user_id": user_id, "expires_at": expires_at, "now": now}
        await self._running.write({"issuing": row}, refusal=self._obstacle(delivery))
        return delivery._replace(attempts=delivery.attempts + 1, generation=delivery.generation + 1)

    async def issued(self, delivery: Delivery, token: SignInToken) -> None:
        """Record the token's id, before a message that carries the token can be sent."""
        row = {"id": delivery.id, "token_id": token.id, "now": self._clock.now()}
        await self._running.write({"issued": row})

    async def sending(
        self,
        delivery: Delivery,
        *,
        message_id: str,
        server: str,
        with_token: bool,
    ) -> None:
        """Record the intent to send, before the final dot.

        Raises:
            PermanentError: the address is suppressed, or an operator has skipped the row.
        """
        attempt, state = delivery.attempts, Status.ISSUING
        if not with_token:
            attempt, state = attempt + 1, Status.QUEUED
        row = {
            "id": delivery.id,
            "state": state,
            "attempt": attempt,
            "message_id": message_id,
            "server": server,
            "now": self._clock.now(),
        }
        await self._running.write({"sending": row}, refusal=self._obstacle(delivery))

    async def settle(self, delivery: Delivery, outcome: Outcome, *, revoke: SignInToken | None = None) -> None:
        """Record an attempt's outcome with, in the same transaction, what follows for its token and the address.

        Args:
            delivery: the row.
            outcome: the row's next state; `queued` clears the token's id, because the next attempt gets a new token. A
                row that an operator has skipped meanwhile stays skipped.
            revoke: the token to revoke, because no accepted message carries it.
        """
        code, enhanced, text = outcome.reply or (None, None, None)
        now = self._clock.now()
        rows: dict[str, dict[str, object]] = {
            "settle": {
                "id": delivery.id,
                "state": outcome.status,
                "reason": outcome.reason,
                "code": code,
                "enhanced": enhanced,
                "reply": text,
                "faults": outcome.faults,
                "not_before": outcome.not_before,
                "now": now,
            }
        }
        if revoke:
            rows["revoke_token"] = self._arguments(id=delivery.id, token_id=revoke.id, now=now)
        if outcome.possible_orphan:
            rows["count_orphan"] = {"id": delivery.id, "now": now}
        if outcome.suppress:
            rows["suppress"] = {"id": delivery.id, "reason": outcome.suppress, "now": now}
        with suppress(PermanentError):
            await self._running.write(rows, urgent=outcome.status is not Status.SENT, refusal=_withdrawal(delivery))

    async def put_back(self, reasons: Mapping[int, str]) -> None:
        """Queue rows again that failed in this run for no fault of theirs; the history keeps both steps.

        A suppression that such a row's refusal has made is lifted.

        Args:
            reasons: why, by the row's id. A row that did not fail is left as it is.
        """
        now = self._clock.now()
        rows = [{"id": number, "reason": reason, "now": now} for number, reason in reasons.items()]

        def put_back(connection: sqlite3.Connection) -> None:
            connection.executemany(SQL.lift_refusal, rows)
            connection.executemany(SQL.put_back, rows)

        await self._write(put_back)

    async def try_revocations(self, limit: int) -> list[tuple[str, bool]]:
        """Record that the oldest pending revocations, at most `limit`, are tried now.

        Return (token id, whether an earlier try may have revoked the token) for each.
        """
        arguments = self._arguments(limit=limit)
        rows = await self._write(lambda connection: connection.execute(SQL.try_revocations, arguments).fetchall())
        return [(token_id, bool(doubtful)) for token_id, doubtful in rows]

    async def undo_attempt(self, token_ids: Sequence[str]) -> None:
        """Record that the last try of these revocations was not sent, or that Clerk refused it."""
        await self._write(lambda connection: connection.execute(SQL.undo_attempt, {"tokens": json.dumps(token_ids)}))

    async def settle_revocation(self, token_id: str, outcome: str) -> None:
        """Record Clerk's answer to a revocation, a `Revocation`."""
        arguments = self._arguments(token_id=token_id, outcome=outcome)
        await self._write(lambda connection: connection.execute(SQL.settle_revocation, arguments))

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> GroupCommit:
        if self._writer is None:
            raise SendLogError(f"the send log {self.path} is closed")
        return self._writer

    def _obstacle(self, delivery: Delivery) -> _Refusal:
        """Return what looks up, in the transaction of a step, whether the row was skipped or its address suppressed."""
        withdrawal = _withdrawal(delivery)

        def refusal(connection: sqlite3.Connection) -> PermanentError | None:
            if withdrawn := withdrawal(connection):
                return withdrawn
            found = suppression_of(connection, delivery.recipient.email, self._list)
            return PermanentError(str(found), skip=True) if found else None

        return refusal

    def _write(self, write: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        return self._running.submit(write)


def _withdrawal(delivery: Delivery) -> _Refusal:
    """Return what looks up, in the transaction of a step, whether an operator has skipped the row."""

    def refusal(connection: sqlite3.Connection) -> PermanentError | None:
        if connection.execute(SQL.withdrawn, {"id": delivery.id}).fetchone():
            return PermanentError("an operator skipped it", skip=True)
        return None

    return refusal
