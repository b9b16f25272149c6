"""What a send log promises, for each of its three callers: `PreparationLog`, `RunLog`, `OperatorLog`.

`SendLog` implements all three in SQLite. No caller sees SQL or SQLite, so another backend can take its place. Every
method that writes returns when the write is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import timedelta

    from campaign.model import (
        Delivery,
        InvalidRow,
        Outcome,
        Rate,
        Recipient,
        Recovered,
        SignInToken,
        Status,
        Summary,
    )
    from campaign.sendlog.enlisting import Enlistment
    from campaign.sendlog.queue_cursor import QueueCursor


class PreparationLog(Protocol):
    """What is written and read before a run."""

    #: The key from which this campaign's Message-IDs are made.
    message_key: bytes
    #: The fingerprint of the templates of the last run; empty before the first.
    templates: str

    def recover(self) -> Recovered:
        """Settle what a crashed run left in `issuing` and `sending`, in every campaign of the log."""
        ...

    def enlist(self, rows: Callable[[], Iterable[Recipient | InvalidRow]], *, source: str, digest: str) -> Enlistment:
        """Make every row of a CSV durable as `queued` or `skipped`, all of them or none."""
        ...

    def note_templates(self, fingerprint: str) -> None:
        """Keep the fingerprint of the templates that this run sends."""
        ...

    def spent(self, status: Status, rates: Sequence[Rate], *, domain: str | None = None) -> list[tuple[float, int]]:
        """Return the permits that earlier runs took in the windows of `rates`, as (instant, number), oldest first."""
        ...

    def summary(self) -> Summary:
        """Return the counts of the campaign as they stand."""
        ...


class RunLog(Protocol):
    """The queue of a run and the steps of each delivery."""

    async def claim(self, limit: int, cursor: QueueCursor) -> list[Delivery]:
        """Return up to `limit` due rows behind the cursor, oldest first; nothing is written for it."""
        ...

    async def next_due(self, after: float, *, without: Sequence[str] = ()) -> float | None:
        """Return the earliest `not_before` later than an instant, or None if no row waits for one."""
        ...

    async def issuing(self, delivery: Delivery, *, user_id: str, expires_in: timedelta) -> Delivery:
        """Make durable that a token is about to be requested; return the delivery with its new generation."""
        ...

    async def issued(self, delivery: Delivery, token: SignInToken) -> None:
        """Make the token's id durable, before a message that carries the token can leave."""
        ...

    async def sending(self, delivery: Delivery, *, message_id: str, server: str, with_token: bool) -> None:
        """Make the intent to send durable, before the final dot."""
        ...

    async def settle(self, delivery: Delivery, outcome: Outcome, *, revoke: SignInToken | None = None) -> None:
        """Make an attempt's outcome durable, and with it that its token must be revoked."""
        ...

    async def try_revocations(self, limit: int) -> list[tuple[str, bool]]:
        """Make durable that up to `limit` revocations are tried now; return (token id, maybe revoked) each."""
        ...

    async def undo_attempt(self, token_ids: Sequence[str]) -> None:
        """Note that the last try of these revocations was not made, or that Clerk refused it."""
        ...

    async def settle_revocation(self, token_id: str, outcome: str) -> None:
        """Settle a revocation with a `Revocation`."""
        ...


class OperatorLog(Protocol):
    """What an operator decides about rows that a run must not touch; `email` restricts it to one recipient."""

    def is_empty(self) -> bool:
        """Return whether no recipient was ever enlisted in the log, in any campaign."""
        ...

    def retry(self, *, state: Status, email: str | None = None) -> int:
        """Put failed or skipped rows back to `queued`; return how many."""
        ...

    def keep_uncertain(self, *, email: str | None = None) -> int:
        """Take uncertain rows as `sent`; return how many."""
        ...

    def revoke_uncertain(self, *, email: str | None = None) -> int:
        """Have the tokens of uncertain rows revoked; return how many are to be."""
        ...

    def resend_uncertain(self, *, email: str | None = None) -> tuple[int, int]:
        """Put uncertain rows whose tokens are dead back to `queued`; return (queued, taken as sent)."""
        ...

    def revoke_everything(self) -> int:
        """Have every token revoked whose id the campaign knows; return how many are to be."""
        ...
