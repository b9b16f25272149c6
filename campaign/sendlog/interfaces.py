"""The interfaces of a send log, one for each kind of caller: `PreparationLog` and `RunLog`.

`SendLog` implements both and the operator's, for each database: no caller uses SQL, or knows which database it is.
Every method that writes returns when the write is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import date, timedelta
    from zoneinfo import ZoneInfo

    from campaign.model import (
        Batch,
        Deferral,
        Delivery,
        EarlierStep,
        InvalidRow,
        Outcome,
        Rate,
        Recipient,
        SignInToken,
        Status,
        UserCreation,
    )
    from campaign.sendlog.counts import Recovered, Summary
    from campaign.sendlog.enlisting import Enlistment
    from campaign.sendlog.holdout import Holdout
    from campaign.sendlog.queue_cursor import QueueCursor
    from campaign.tags import Tags


class PreparationLog(Protocol):
    """The steps before a run: recover from a crash, enlist the CSV, read the permits already used."""

    #: The secret key from which this campaign's Message-IDs are derived.
    message_key: bytes
    #: The fingerprint of the templates of the last run; empty before the first run.
    templates: str
    #: The tags of the unsubscribe links and the return paths.
    tags: Tags

    def preparing(self) -> AbstractContextManager[None]:
        """Let no other run prepare this campaign during the block; wait for one that does, and say so."""
        ...

    def recover(self) -> Recovered:
        """Settle what a crashed run left in `issuing` and `sending`, in every campaign of the log."""
        ...

    def enlist(
        self,
        rows: Callable[[], Iterable[Recipient | InvalidRow]],
        *,
        source: str,
        digest: str,
        steps: Sequence[str] = ("",),
        in_batches: bool = False,
    ) -> Enlistment:
        """Write every row of a CSV as `queued` or `skipped`, one for each step, all of them or none.

        A later step waits for the one before it; with `in_batches`, the first one for `take_batch`.
        """
        ...

    def resume(self, steps: Sequence[str]) -> bool:
        """Take the rows of the CSV enlisted last for those of this run; return False if there are none."""

    def take_batch(self, limit: int | None, *, by_position: bool = False, helps: bool = True) -> Batch | None:
        """Let at most `limit` recipients that were never tried become due, as a new batch; None if there are none.

        What earlier batches left comes first, and does not count. It is called after `enlist`, in every run.
        """
        ...

    def hold_out(self, share: float | None, *, in_batches: bool) -> Holdout:
        """Set the recipients whose lot is below a share (percent) to `skipped`, unless they were mailed.

        It is called after `enlist`, in every run; those whom a smaller share leaves out are queued again.
        """
        ...

    def release_steps(self) -> int:
        """Make each step due whose step before is sent meanwhile; return the number of rows."""
        ...

    def note_cap(self, rate: Rate | None) -> None:
        """Set how many mails one address may get, of all campaigns of the log."""
        ...

    def sent_by_day(self, zone: ZoneInfo) -> Mapping[date, int]:
        """Return the days on which this campaign's log sent mail, each with the number of messages."""
        ...

    @property
    def file(self) -> str:
        """The path of the campaign file of the last run; empty before the first one."""
        ...

    def note_file(self, path: str) -> None:
        """Store the path of the campaign file."""
        ...

    def latest(self) -> float:
        """Return the latest instant of the log's last entries (seconds since the epoch); 0 if there is none."""
        ...

    def note_templates(self, fingerprint: str) -> None:
        """Store the fingerprint of the templates that this run sends."""
        ...

    def note_list(self, name: str) -> None:
        """Store the name of the list to which this run's mails belong."""
        ...

    def skip_suppressed(self) -> int:
        """Skip the queued rows of this CSV whose addresses are suppressed; return the number of rows."""
        ...

    def spent(self, status: Status, rates: Sequence[Rate], *, domain: str | None = None) -> list[tuple[float, int]]:
        """Return the permits that earlier runs used in the windows of `rates`, as (instant, number), oldest first."""
        ...

    def begun_keys(self) -> set[str]:
        """Return the keys of the recipients for whom a token or a user was asked for, or to whom a mail went out."""
        ...

    def summary(self) -> Summary:
        """Return the campaign's current counts."""
        ...


class RunLog(Protocol):
    """The queue of a run, and the writes for each step of a delivery."""

    @property
    def queue_holds_s(self) -> float:
        """How long what was read of the queue stays true (seconds), since other runs may add rows to it."""
        ...

    async def claim(self, limit: int, cursor: QueueCursor) -> list[Delivery]:
        """Return at most `limit` due rows after the cursor, oldest first; no other run gets them."""
        ...

    def give_back(self, ids: Collection[int]) -> None:
        """Let each run claim rows again that this one has claimed and not begun."""
        ...

    async def held_by_others(self) -> int:
        """Return how many rows of the CSV other runs have claimed."""
        ...

    def drain(self) -> None:
        """Let others see that this run claims no more rows."""
        ...

    async def next_due(self, after: float, *, without: Sequence[str] = ()) -> float | None:
        """Return the earliest `not_before` after an instant, or None if no row has a later one."""
        ...

    async def put_off(self, rows: Mapping[int, Deferral]) -> None:
        """Record until when queued rows wait, by their ids; no attempt is used up, and the history gets no entry."""
        ...

    async def skip(self, rows: Mapping[int, str], *, ends_sequence: bool) -> None:
        """Set queued rows to `skipped`, with the reason of each.

        With `ends_sequence` the later steps of their keys are skipped with the same reason.
        """
        ...

    async def earlier_steps(self, ids: Sequence[int]) -> Mapping[int, tuple[EarlierStep, ...]]:
        """Return the earlier steps of the keys of these rows, in their order."""
        ...

    async def ask_revocation(self, delivery: Delivery, token_id: str) -> str | None:
        """Record that the token of an older mail to the key must be revoked.

        Return Clerk's answer, a `Revocation`, if it is known; the caller then need not ask.

        Raises:
            PermanentError: the address is suppressed, so that the delivery gets no new link.
            DeferredError: the address has had its share of mails lately.
        """
        ...

    async def note_quota(self, why: str, until: float) -> None:
        """Record that a quota is spent, and until when (seconds since the epoch): `status` says it beside the run."""
        ...

    async def issuing(self, delivery: Delivery, *, user_id: str, expires_in: timedelta) -> Delivery:
        """Record that a token is about to be requested; return the delivery with its new generation.

        Raises:
            PermanentError: the address is suppressed.
            DeferredError: the address has had its share of mails lately.
            ClaimLostError: another run has the row, as in every later step.
            TransientError: this run was not heard of for longer than its lease, so it must begin nothing.
        """
        ...

    async def issued(self, delivery: Delivery, token: SignInToken) -> None:
        """Record the token's id, before a message that carries the token can be sent."""
        ...

    async def sending(self, delivery: Delivery, *, message_id: str, server: str, with_token: bool) -> None:
        """Record the intent to send, before the final dot.

        Raises:
            PermanentError: the address is suppressed.
            DeferredError: the address has had its share of mails lately.
            TransientError: the write took too long, or as of `issuing`; the dot must not follow.
        """
        ...

    async def still_sending(self, delivery: Delivery) -> None:
        """Return if the recorded intent still holds, before a second final dot: the server did not accept the first.

        Raises:
            ClaimLostError: another run has the row.
            TransientError: this run was not heard of for too long.
        """
        ...

    async def revoke_unused(self, delivery: Delivery, token: SignInToken) -> None:
        """Record that a token must be revoked that is in no mail, of a row that another run has."""
        ...

    async def settle(self, delivery: Delivery, outcome: Outcome, *, revoke: SignInToken | None = None) -> None:
        """Record an attempt's outcome, with `revoke` that its token must be revoked, and what it suppresses.

        A row that is `sent` makes the next step of its key due.
        """
        ...

    async def put_back(self, reasons: Mapping[int, str]) -> None:
        """Queue rows again that failed in this run for no fault of theirs; `reasons` says why, by the row's id."""
        ...

    async def pending_users(self) -> set[str]:
        """Return the addresses for which a Clerk user was asked for and Clerk's answer is not known."""
        ...

    async def creating_user(self, delivery: Delivery, *, again: bool = False) -> UserCreation | None:
        """Record that a Clerk user is about to be created for a delivery's address, and return None.

        If one was asked for before, nothing is recorded, and what the log has of it is returned; with `again` only if
        that is settled.

        Raises:
            PermanentError: the address is suppressed.
            DeferredError: the address has had its share of mails lately.
        """
        ...

    async def settle_user(self, address: str, outcome: str, user_id: str | None) -> None:
        """Record what came of the last call that was to create a user: see `UserCreation`."""
        ...

    async def try_revocations(self, limit: int) -> list[tuple[str, bool]]:
        """Record that at most `limit` revocations are tried now; return (token id, maybe revoked already) of each."""
        ...

    async def undo_attempt(self, token_ids: Sequence[str]) -> None:
        """Record that the last try of these revocations was not sent, or that Clerk refused it."""
        ...

    async def settle_revocation(self, token_id: str, outcome: str) -> None:
        """Record Clerk's answer to a revocation, a `Revocation`."""
        ...
