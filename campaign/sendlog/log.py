"""The send log as the pipeline sees it: claim a row, make each step durable, settle it. Commands are elsewhere."""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self, TypeVar

from campaign.errors import SendLogError
from campaign.model import LONGEST_WAIT, Recovered, Status
from campaign.sendlog.enlisting import Enlister, Enlistment
from campaign.sendlog.files import is_damage, open_for_writing, sentences
from campaign.sendlog.group_commit import GroupCommit
from campaign.sendlog.reading import summary
from campaign.sendlog.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import timedelta
    from pathlib import Path

    from campaign.clock import Clock
    from campaign.model import Delivery, InvalidRow, Outcome, Rate, Recipient, SignInToken, Summary
    from campaign.sendlog.queue_cursor import QueueCursor

T = TypeVar("T")

#: What a run writes for a recipient, in the order in which one row can make the steps.
_STATEMENTS = {
    "issuing": SQL.issuing,
    "issued": SQL.issued,
    "sending": SQL.sending,
    "settle": SQL.settle,
    "revoke_token": SQL.revoke_token,
    "count_orphan": SQL.count_orphan,
}


class SendLog:
    """One campaign's part of a send log, for the one run that holds it.

    Every method that writes returns when the write is on the disk.
    """

    def __init__(self, path: Path, campaign: str, clock: Clock) -> None:
        self.path = path
        self._name = campaign
        self._clock = clock
        self._connection = open_for_writing(path)
        self._writer: GroupCommit | None = None
        try:
            self._campaign, self.message_key, self.templates = self._find_or_add(campaign)
        except BaseException:
            self._connection.close()
            raise
        self._enlistment = 0

    # -- before the run ------------------------------------------------------------------------------------------

    def recover(self) -> Recovered:
        """Settle what a crashed run left in `issuing` and `sending`, in every campaign of the log.

        A row that was put off longer than anything is put off (by a clock that was ahead) is brought forward.
        """
        now = {"now": self._clock.now()}
        latest = {"latest": now["now"] + LONGEST_WAIT.total_seconds()}
        with self.transaction() as connection:
            orphans = connection.execute(SQL.recover_unnamed).rowcount
            revocations = connection.execute(SQL.recover_named, now).rowcount
            connection.execute(SQL.recover_issuing, now)
            uncertain = connection.execute(SQL.recover_sending, now).rowcount
            connection.execute(SQL.recover_put_off, latest)
        return Recovered(orphans, revocations, uncertain)

    def enlist(self, rows: Callable[[], Iterable[Recipient | InvalidRow]], *, source: str, digest: str) -> Enlistment:
        """Make every row of a CSV durable as `queued` or `skipped`, all of them or none.

        Args:
            rows: opens the CSV; not called when the CSV is the one enlisted last.
            source: the CSV's path.
            digest: the fingerprint of its bytes and of the way it is read.
        """
        found = self._connection.execute(SQL.find_campaign, {"name": self._name}).fetchone()
        _, _, _, last_source, last_digest, self._enlistment = found
        if (last_source, last_digest) == (source, digest):
            return Enlistment(unchanged=True)
        with self.transaction() as connection:
            number = self._enlistment + 1
            enlister = Enlister(
                connection, campaign=self._campaign, enlistment=number, source=source, now=self._clock.now()
            )
            enlister.enlist(rows())
            connection.execute(SQL.note_source, self.arguments(source=source, source_digest=digest, enlistment=number))
        self._enlistment = number
        return enlister.result

    def note_templates(self, fingerprint: str) -> None:
        """Keep the fingerprint of the templates that this run sends."""
        with self.transaction() as connection:
            connection.execute(SQL.note_templates, self.arguments(templates=fingerprint))

    def spent(self, status: Status, rates: Sequence[Rate], *, domain: str | None = None) -> list[tuple[float, int]]:
        """Return the turns that earlier runs took in the windows of `rates`, as (instant, number), oldest first.

        Args:
            status: `sending` for messages, `issuing` for tokens: the states whose entry took a turn.
            rates: the longest period decides how far back to look.
            domain: only recipients of this domain.
        """
        if not rates:
            return []
        period = max(rate.period for rate in rates).total_seconds()
        since, piece = self._clock.now() - period * 1.01, period / 1000
        arguments = {"state": status, "since": since, "piece": piece, "domain": domain}
        statement = SQL.spent if domain is None else SQL.spent_domain
        return [(at, number) for at, number in self._connection.execute(statement, arguments)]

    def summary(self) -> Summary:
        """Return the counts of the campaign as they stand."""
        return summary(
            self._connection, self._name, campaign=self._campaign, enlistment=self._enlistment, now=self._clock.now()
        )

    def arguments(self, **more: object) -> dict[str, object]:
        """Return what every statement about this campaign needs: its number and the time."""
        return {"campaign": self._campaign, "now": self._clock.now()} | more

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block writes, or undo all of it; not while the writer runs.

        Raises:
            SendLogError: the log cannot be written.
            SendLogUnusableError: the log is damaged.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            _undo(self._connection)
            if is_damage(error):
                with sentences(self.path):
                    raise
            raise SendLogError(
                f"the send log {self.path} cannot be written ({error}); nothing was changed. Free the disk, run again"
            ) from error
        except BaseException:
            _undo(self._connection)
            raise

    # -- the run -------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start the writer; from here on the methods below may be called."""
        self._writer = GroupCommit(self._connection, str(self.path), _STATEMENTS)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish the waiting writes and end the writer; the log stays open for its closing counts."""
        assert self._writer is not None  # noqa: S101 - entered, or there is nothing to leave
        await asyncio.to_thread(self._writer.close)
        self._writer = None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    async def claim(self, limit: int, cursor: QueueCursor) -> list[Delivery]:
        """Return up to `limit` rows of the lane that are due and were not returned before, oldest first.

        Claiming moves only the lane's cursor: a row stays `queued` until a token is asked for, so a crash in
        between leaves nothing to mend.
        """
        now = self._clock.now()
        arguments = self.arguments(enlistment=self._enlistment, limit=limit, now=now) | cursor.arguments
        rows = await self._write(lambda connection: connection.execute(SQL.claim, arguments).fetchall())
        return cursor.pass_over(rows, limit, now)

    async def next_due(self, after: float, *, without: Sequence[str] = ()) -> float | None:
        """Return the earliest `not_before` later than an instant, or None if no row waits for one.

        Args:
            after: the instant.
            without: domains whose rows do not count.
        """
        arguments = self.arguments(enlistment=self._enlistment, after=after, domains=json.dumps(list(without)))
        row = await self._write(lambda connection: connection.execute(SQL.next_due, arguments).fetchone())
        return row[0] if row else None

    async def issuing(self, delivery: Delivery, *, user_id: str, expires_in: timedelta) -> Delivery:
        """Make durable that a token is about to be asked for; return the delivery with its new generation."""
        now = self._clock.now()
        expires_at = now + expires_in.total_seconds()
        row = {"id": delivery.id, "user_id": user_id, "expires_at": expires_at, "now": now}
        await self._running.write({"issuing": row})
        return delivery._replace(attempts=delivery.attempts + 1, generation=delivery.generation + 1)

    async def issued(self, delivery: Delivery, token: SignInToken) -> None:
        """Make the token's id durable, before a message that carries the token can leave."""
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
        """Make the intent to send durable, before the final dot."""
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
        await self._running.write({"sending": row})

    async def settle(self, delivery: Delivery, outcome: Outcome, *, revoke: SignInToken | None = None) -> None:
        """Make an attempt's outcome durable, and with it that its token is to be revoked.

        Args:
            delivery: the row.
            outcome: the state it goes to; `queued` forgets the token's id, for the next attempt has another.
            revoke: the token that no accepted message carries.
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
            rows["revoke_token"] = self.arguments(id=delivery.id, token_id=revoke.id, now=now)
        if outcome.possible_orphan:
            rows["count_orphan"] = {"id": delivery.id, "now": now}
        await self._running.write(rows, urgent=outcome.status is not Status.SENT)

    async def try_revocations(self, limit: int) -> list[tuple[str, bool]]:
        """Make durable that up to `limit` pending revocations are tried now, the oldest ones.

        Return their tokens' ids, each with whether an earlier try may have revoked it.
        """
        arguments = self.arguments(limit=limit)
        rows = await self._write(lambda connection: connection.execute(SQL.try_revocations, arguments).fetchall())
        return [(token_id, bool(doubtful)) for token_id, doubtful in rows]

    async def undo_attempt(self, token_ids: Sequence[str]) -> None:
        """Note that the last try of these revocations was not made, or that Clerk refused it."""
        await self._write(lambda connection: connection.execute(SQL.undo_attempt, {"tokens": json.dumps(token_ids)}))

    async def settle_revocation(self, token_id: str, outcome: str) -> None:
        """Strike a revocation off with a `Revocation`."""
        arguments = self.arguments(token_id=token_id, outcome=outcome)
        await self._write(lambda connection: connection.execute(SQL.settle_revocation, arguments))

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> GroupCommit:
        if self._writer is None:
            raise SendLogError(f"the send log {self.path} is closed")
        return self._writer

    def _write(self, write: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        return self._running.submit(write)

    def _find_or_add(self, name: str) -> tuple[int, bytes, str]:
        with self.transaction() as connection:
            row = connection.execute(SQL.find_campaign, {"name": name}).fetchone()
            if row is None:
                connection.execute(SQL.add_campaign, {"name": name, "message_key": secrets.token_bytes(32)})
                row = connection.execute(SQL.find_campaign, {"name": name}).fetchone()
        return row[0], row[1], row[2]


def _undo(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
