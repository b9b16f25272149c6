"""The send log during a run, `RunWrites`: record each step of a delivery, and settle it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from campaign.errors import PermanentError, Scope, TransientError
from campaign.model import Status
from campaign.sendlog.obstacles import Obstacle
from campaign.sendlog.run_queue import RunQueue
from campaign.sendlog.worker import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from campaign.model import Delivery, Outcome, SignInToken
    from campaign.sendlog.database import LogConnection

T = TypeVar("T")

#: A row that becomes due now is due a moment later: a cursor may have passed over all rows that are due now.
_AFTER_CURSORS_S = 0.001


class RunWrites(RunQueue):
    """The part of `RunLog` about deliveries."""

    async def issuing(self, delivery: Delivery, *, user_id: str, expires_in: timedelta) -> Delivery:
        """Record that a token is about to be requested; return the delivery with its new generation.

        Raises:
            PermanentError: the address is suppressed, or an operator has skipped the row.
            DeferredError: the address has had its share of mails lately.
        """
        now = self._clock.now()
        expires_at = now + expires_in.total_seconds()
        row = {"id": delivery.id, "user_id": user_id, "expires_at": expires_at, "now": now}
        await self._running.write({"issuing": row}, refusal=self._obstacle(delivery), claim=beginning(delivery))
        return delivery._replace(attempts=delivery.attempts + 1, generation=delivery.generation + 1)

    async def issued(self, delivery: Delivery, token: SignInToken) -> None:
        """Record the token's id, before a message that carries the token can be sent."""
        row = {"id": delivery.id, "token_id": token.id, "now": self._clock.now()}
        await self._running.write({"issued": row}, claim=claim_of(delivery))

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
            TransientError: the write took so long that another run may have the row; the dot must not follow.
        """
        began = self._clock.now()
        attempt, state = delivery.attempts, Status.ISSUING
        if not with_token:
            attempt, state = attempt + 1, Status.QUEUED
        row = {
            "id": delivery.id,
            "state": state,
            "attempt": attempt,
            "message_id": message_id,
            "server": server,
            "now": began,
        }
        await self._running.write({"sending": row}, refusal=self._obstacle(delivery), claim=beginning(delivery))
        self._raise_if_late(began)

    async def still_sending(self, delivery: Delivery) -> None:
        """Return if the recorded intent still holds: this run has the row, and its lease has not run out."""
        if self._worker.is_shared:
            began = self._clock.now()
            await self._running.write({}, claim=beginning(delivery))
            self._raise_if_late(began)

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
                claim=claim_of(delivery),
                follow_up=self._follow_up(delivery, outcome, now),
            )

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

    # -- inside --------------------------------------------------------------------------------------------------

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

    def _raise_if_late(self, began: float) -> None:
        if self._clock.now() - began > self._worker.intent_holds_s:
            raise TransientError(
                "the log took too long to record that the message is sent, so it was not sent", scope=Scope.NONE
            )


def claim_of(delivery: Delivery) -> Claim:
    """Return the claim of a write that ends something, which a run may write as long as it has the row."""
    return Claim(delivery.id, delivery.fence)


def beginning(delivery: Delivery) -> Claim:
    """Return the claim of a write that begins something, for which the run's lease must not have run out."""
    return Claim(delivery.id, delivery.fence, begins=True)
