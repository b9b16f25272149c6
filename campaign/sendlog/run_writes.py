"""The send log during a run, `RunWrites`: claim rows, record each step of a delivery, and settle it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TypeVar

from campaign.errors import PermanentError, SendLogError
from campaign.model import NEVER, EarlierStep, Status
from campaign.sendlog.campaign_connection import CampaignConnection
from campaign.sendlog.group_commit import GroupCommit
from campaign.sendlog.obstacles import Obstacle, is_clear

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from campaign.model import Deferral, Delivery, Outcome, SignInToken
    from campaign.sendlog.database import LogConnection
    from campaign.sendlog.queue_cursor import QueueCursor

T = TypeVar("T")

#: A row that becomes due now is due a moment later: a cursor may have passed over all rows that are due now.
_AFTER_CURSORS_S = 0.001

#: The statements for the steps of a delivery, in the order in which one row goes through them.
_STATEMENTS = ("issuing", "issued", "sending", "settle", "revoke_token", "suppress_refused", "count_orphan")


class RunWrites(CampaignConnection):
    """The part of `RunLog` about deliveries: a thread commits the writes of many deliveries at once (group commit)."""

    _writer: GroupCommit | None = None

    async def __aenter__(self) -> Self:
        """Start the writer thread; the methods below may be called from now on."""
        statements = {name: getattr(self._sql, name) for name in _STATEMENTS}
        is_sequential = self._cap is not None
        self._writer = GroupCommit(
            self._connection, self._database, statements, is_clear=is_clear, is_sequential=is_sequential
        )
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
        rows = await self._write(lambda connection: connection.execute(self._sql.claim, arguments).fetchall())
        return cursor.pass_over(rows, limit, now)

    async def next_due(self, after: float, *, without: Sequence[str] = ()) -> float | None:
        """Return the earliest `not_before` after an instant, or None if no row has a later one.

        Args:
            after: the instant.
            without: leave out the rows of these domains.
        """
        arguments = self._arguments(
            enlistment=self._enlistment, after=after, never=NEVER, domains=json.dumps(list(without))
        )
        row = await self._write(lambda connection: connection.execute(self._sql.next_due, arguments).fetchone())
        return row[0] if row else None

    async def issuing(self, delivery: Delivery, *, user_id: str, expires_in: timedelta) -> Delivery:
        """Record that a token is about to be requested; return the delivery with its new generation.

        Raises:
            PermanentError: the address is suppressed, or an operator has skipped the row.
            DeferredError: the address has had its share of mails lately.
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
            DeferredError: the address has had its share of mails lately.
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
            delivery: the row. If it is `sent`, the next step of its key becomes due.
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
                "waiting": outcome.waiting,
                "now": now,
            }
        }
        if revoke:
            rows["revoke_token"] = self._arguments(id=delivery.id, token_id=revoke.id, now=now)
        if outcome.possible_orphan:
            rows["count_orphan"] = {"id": delivery.id, "now": now}
        if outcome.suppress:
            rows["suppress_refused"] = {"id": delivery.id, "reason": outcome.suppress, "now": now}
        with suppress(PermanentError):
            await self._running.write(
                rows,
                urgent=outcome.status is not Status.SENT,
                refusal=Obstacle(delivery),
                follow_up=self._follow_up(delivery, outcome, now),
            )

    async def put_off(self, rows: Mapping[int, Deferral]) -> None:
        """Record until when queued rows wait, by their ids; no attempt is used up, and the history gets no entry.

        A row that is not queued any more, because an operator has skipped it, is left as it is.
        """
        changes = [{"id": number} | deferral._asdict() for number, deferral in rows.items()]
        await self._write(lambda connection: connection.executemany(self._sql.put_off, changes))

    async def skip(self, rows: Mapping[int, str], *, ends_sequence: bool) -> None:
        """Set queued rows to `skipped`, with the reason of each.

        With `ends_sequence` the later steps of their keys are skipped with the same reason.
        """
        changes = [self._arguments(id=number, reason=reason) for number, reason in rows.items()]

        def write(connection: LogConnection) -> None:
            connection.executemany(self._sql.skip_row, changes)
            if ends_sequence:
                connection.executemany(self._sql.end_sequence, changes)

        await self._write(write)

    async def earlier_steps(self, ids: Sequence[int]) -> Mapping[int, tuple[EarlierStep, ...]]:
        """Return the earlier steps of the keys of these rows, in their order; a first step has none."""
        arguments = {"ids": json.dumps(list(ids))}
        rows = await self._write(lambda connection: connection.execute(self._sql.earlier_steps, arguments).fetchall())
        found: dict[int, tuple[EarlierStep, ...]] = dict.fromkeys(ids, ())
        for number, step, state, *rest in rows:
            found[number] += (EarlierStep(step, Status(state), *rest),)
        return found

    async def put_back(self, reasons: Mapping[int, str]) -> None:
        """Queue rows again that failed in this run for no fault of theirs; the history keeps both steps.

        A suppression that such a row's refusal has made is lifted.

        Args:
            reasons: why, by the row's id. A row that did not fail is left as it is.
        """
        now = self._clock.now()
        rows = [{"id": number, "reason": reason, "now": now} for number, reason in reasons.items()]

        def put_back(connection: LogConnection) -> None:
            connection.executemany(self._sql.lift_refusal, rows)
            connection.executemany(self._sql.put_back, rows)

        await self._write(put_back)

    async def try_revocations(self, limit: int) -> list[tuple[str, bool]]:
        """Record that the oldest pending revocations, at most `limit`, are tried now.

        Return (token id, whether an earlier try may have revoked the token) for each.
        """
        arguments = self._arguments(limit=limit)
        rows = await self._write(lambda connection: connection.execute(self._sql.try_revocations, arguments).fetchall())
        return [(token_id, bool(doubtful)) for token_id, doubtful in rows]

    async def ask_revocation(self, delivery: Delivery, token_id: str) -> str | None:
        """Record that the token of an older mail to this delivery's key must be revoked.

        Return Clerk's answer, a `Revocation`, if it is known; the caller then need not ask. If the delivery may not be
        sent now, nothing is recorded: its recipient keeps the link of the step before.

        Raises:
            PermanentError: the address is suppressed.
            DeferredError: the address has had its share of mails lately.
        """
        arguments, refusal = self._arguments(key=delivery.recipient.key, token_id=token_id), self._obstacle(delivery)

        def write(connection: LogConnection) -> str | Exception | None:
            if refused := refusal(connection)():
                return refused
            connection.execute(self._sql.ask_revocation, arguments)
            row = connection.execute(self._sql.outcome_of_revocation, arguments).fetchone()
            return row[0] if row else None

        answer = await self._write(write)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def undo_attempt(self, token_ids: Sequence[str]) -> None:
        """Record that the last try of these revocations was not sent, or that Clerk refused it."""
        await self._write(
            lambda connection: connection.execute(self._sql.undo_attempt, {"tokens": json.dumps(token_ids)})
        )

    async def settle_revocation(self, token_id: str, outcome: str) -> None:
        """Record Clerk's answer to a revocation, a `Revocation`."""
        arguments = self._arguments(token_id=token_id, outcome=outcome)
        await self._write(lambda connection: connection.execute(self._sql.settle_revocation, arguments))

    async def note_quota(self, why: str, until: float) -> None:
        """Record that a quota is spent, and until when (seconds since the epoch): `status` says it beside the run."""
        arguments = self._arguments(quota=why, until=until)
        await self._write(lambda connection: connection.execute(self._sql.note_quota, arguments))

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> GroupCommit:
        if self._writer is None:
            raise SendLogError(f"the send log {self._database.place} is closed")
        return self._writer

    def _obstacle(self, delivery: Delivery) -> Obstacle:
        return Obstacle(delivery, self._list, self._cap, self._clock.now())

    def _follow_up(self, delivery: Delivery, outcome: Outcome, now: float) -> Callable[[LogConnection], object] | None:
        """Return what an outcome means for the later steps of the key, or None if it means nothing for them."""
        if outcome.status is Status.SENT and delivery.step:
            arguments = {"id": delivery.id, "at": now + _AFTER_CURSORS_S}
            return lambda connection: connection.execute(self._sql.release_next, arguments)
        if outcome.ends_sequence:
            arguments = {"id": delivery.id, "now": now}
            return lambda connection: connection.execute(self._sql.end_sequence, arguments)
        return None

    def _write(self, write: Callable[[LogConnection], T]) -> asyncio.Future[T]:
        return self._running.submit(write)
