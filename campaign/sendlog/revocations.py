"""The revocations of a run: `Revocations` records that tokens must be revoked, each try, and Clerk's answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from campaign.sendlog.run_writes import RunWrites, beginning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.model import Delivery, SignInToken
    from campaign.sendlog.database import LogConnection


class Revocations(RunWrites):
    """The part of `RunLog` about tokens that must be revoked."""

    async def revoke_unused(self, delivery: Delivery, token: SignInToken) -> None:
        """Record that a token must be revoked that is in no mail, of a row that another run has."""
        await self._running.write({"revoke_token": self._arguments(id=delivery.id, token_id=token.id)})

    async def try_revocations(self, limit: int) -> list[tuple[str, bool]]:
        """Record that the oldest pending revocations, at most `limit`, are tried now.

        Return (token id, whether an earlier try may have revoked the token) for each.
        """
        arguments = self._arguments(limit=limit)
        rows = await self._write(lambda connection: self._worker.try_revocations(connection, arguments))
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

        answer = await self._running.submit(write, claim=beginning(delivery))
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
