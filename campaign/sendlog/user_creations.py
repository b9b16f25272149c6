"""The creation of Clerk users in the send log, `UserCreations`: the intent before each call, then what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.model import UserCreation
from campaign.sendlog.run_writes import RunWrites, beginning

if TYPE_CHECKING:
    from campaign.errors import DeliveryError
    from campaign.model import Delivery
    from campaign.sendlog.database import LogConnection


class UserCreations(RunWrites):
    """The part of `RunLog` about users. One address has at most one entry, of all campaigns of the log."""

    def begun_keys(self) -> set[str]:
        """Return the keys of the recipients for whom a token or a user was asked for, or to whom a mail went out."""
        with self._reading():
            return {row[0] for row in self._connection.stream(self._sql.begun_keys, self._arguments())}

    async def pending_users(self) -> set[str]:
        """Return the addresses, in lower case, for which a user was asked for and Clerk's answer is not known."""
        rows = await self._write(lambda connection: connection.execute(self._sql.pending_users).fetchall())
        return {row[0] for row in rows}

    async def creating_user(self, delivery: Delivery, *, again: bool = False) -> UserCreation | None:
        """Record that a user is about to be created for a delivery's address, and return None: the call may leave.

        If a user was asked for before, nothing is recorded, and what the log has of it is returned; a call that Clerk
        refused does not count.

        Args:
            delivery: the row.
            again: the answer to the last call is not known, and Clerk has no user with the address now.

        Raises:
            PermanentError: the address is suppressed, or an operator has skipped the row.
            DeferredError: the address has had its share of mails lately.
        """
        arguments = self._arguments(id=delivery.id, address=delivery.recipient.email.lower())
        refusal = self._obstacle(delivery)

        def write(connection: LogConnection) -> UserCreation | DeliveryError | None:
            if refused := refusal(connection)():
                return refused
            row = connection.execute(self._sql.user_creation, arguments).fetchone()
            earlier = UserCreation(*row) if row else None
            if earlier and earlier.outcome != "refused" and not (again and earlier.settled_at is None):
                return earlier
            connection.execute(self._sql.intend_user, arguments)
            return None

        found = await self._running.submit(write, claim=beginning(delivery), alone=True)
        if isinstance(found, Exception):
            raise found
        return found

    async def settle_user(self, address: str, outcome: str, user_id: str | None) -> None:
        """Record what came of the last call: see `UserCreation.outcome`."""
        arguments = self._arguments(address=address.lower(), outcome=outcome, user_id=user_id)
        await self._write(lambda connection: connection.execute(self._sql.settle_user, arguments))
