"""The queue of a run, `RunQueue`: claim due rows, put them off, skip them; and the thread that writes for the run."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from campaign.errors import SendLogError, SendLogUnusableError
from campaign.model import NEVER, EarlierStep, Status
from campaign.sendlog.campaign_connection import CampaignConnection
from campaign.sendlog.group_commit import GroupCommit
from campaign.sendlog.obstacles import is_clear
from campaign.sendlog.server_time import follow
from campaign.sendlog.worker import WorkTerms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from campaign.model import Deferral, Delivery
    from campaign.sendlog.database import LogConnection
    from campaign.sendlog.queue_cursor import QueueCursor

T = TypeVar("T")

#: A server that is away is asked again after this time (seconds).
_RETRY_S = 0.5

#: The statements for the steps of a delivery, in the order in which one row goes through them.
_STATEMENTS = ("issuing", "issued", "sending", "settle", "revoke_token", "suppress_refused", "count_orphan")


class RunQueue(CampaignConnection):
    """The part of `RunLog` about the queue. A thread commits the writes of many deliveries at once (group commit)."""

    _writer: GroupCommit | None = None
    #: Whether it is a worker of the log for longer than it writes.
    _stays = False
    _is_draining = False

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Be one of the log's workers during the block, which may enter and leave the log many times.

        Raises:
            LogHeldError: a worker of another version uses the log.
            SendLogUnusableError: the log cannot be used.
        """
        await self._started()
        self._stays = True
        try:
            await asyncio.to_thread(self._worker.rest, self._connection)
            yield
        finally:
            self._stays = False
            await asyncio.to_thread(self._worker.end, self._connection)

    async def __aenter__(self) -> Self:
        """Start the writer thread; the methods below may be called from now on."""
        statements = {name: getattr(self._sql, name) for name in _STATEMENTS}
        await self._started()
        self._writer = GroupCommit(
            self._connection,
            self._database,
            statements,
            is_clear=is_clear,
            is_sequential=self._cap is not None,
            worker=self._worker,
        )
        return self

    async def is_back(self) -> bool:
        """Return whether the log's server was lost, as soon as it is there again; say so, if that takes a while.

        What was not committed is to be done again. It is for the time before the writer thread runs.

        Raises:
            SendLogUnusableError: the server is another one now, and cannot be used.
        """
        if self._connection.is_open:
            return False
        is_told = False
        while why := await asyncio.to_thread(self._try_to_restore):
            if not is_told:
                self._say(f"Waiting for PostgreSQL at {self._database.place}: {why}")
            is_told = True
            await self._clock.sleep(_RETRY_S)
        if is_told:
            self._say("PostgreSQL answers again; the run goes on")
        return True

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the waiting writes and end the writer thread; the log stays open so that counts can be read."""
        assert self._writer is not None  # noqa: S101 - set in __aenter__
        if self._is_draining or not self._stays or (kind and not issubclass(kind, Exception)):
            self._worker.will_end()
        await asyncio.to_thread(self._writer.close)
        self._writer = None
        await asyncio.to_thread(self._worker.rest if self._stays else self._worker.end, self._connection)

    @property
    def queue_holds_s(self) -> float:
        """How long what was read of the queue stays true (seconds), since other runs may add rows to it."""
        return self._worker.queue_holds_s

    async def claim(self, limit: int, cursor: QueueCursor) -> list[Delivery]:
        """Return at most `limit` due rows after the cursor, oldest first.

        A claimed row stays `queued` until its token is requested, so after a crash before that there is nothing to
        recover. With one run, claiming moves only the cursor.
        """
        now = self._clock.now()
        arguments = self._arguments(enlistment=self._enlistment, limit=limit, now=now) | cursor.arguments
        rows = await self._write(lambda connection: self._worker.claim(connection, arguments))
        page = cursor.pass_over(rows, limit, now)
        if self._worker.is_shared and len(rows) < limit:  # other runs may have queued rows before the cursor
            cursor.start_again()
            if cursor.arguments["after"] != arguments["after"]:
                page += await self.claim(limit - len(rows), cursor)
        return page

    def give_back(self, ids: Collection[int]) -> None:
        """Let each run claim rows again that this one has claimed and not begun."""
        if ids and self._worker.is_shared:
            self._write(lambda connection: self._worker.give_back(connection, ids))

    def drain(self) -> None:
        """Let others see that this run claims no more rows."""
        self._is_draining = True
        self._worker.drain()
        if self._writer is None:  # nothing is in hand, so nothing is worth a wait for a log that is away
            self._worker.will_end()

    @property
    def is_away(self) -> bool:
        """Whether the run waits for the log's server now, which does not answer."""
        return self._worker.is_away

    def abandon(self) -> None:
        """Write nothing more to a log whose server is away: the run ends, and nothing is in hand."""
        self._worker.abandon()

    async def restore(self) -> None:
        """Go on with a new connection if the log's server has ended the one before; not while the writer thread runs.

        Raises:
            SendLogUnusableError: the log cannot be used, and the run is at its end.
        """
        if not self._connection.is_open:
            with self._reading():
                await asyncio.to_thread(self._worker.restore, self._connection)

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

    async def put_off(self, rows: Mapping[int, Deferral]) -> None:
        """Record until when queued rows wait, by their ids; no attempt is used up, and the history gets no entry.

        A row that is not queued any more, because an operator has skipped it, is left as it is.
        """
        changes = [{"id": number} | deferral._asdict() for number, deferral in rows.items()]
        await self._write(
            lambda connection: connection.executemany(self._sql.put_off, self._still_queued(connection, changes))
        )

    async def skip(self, rows: Mapping[int, str], *, ends_sequence: bool) -> None:
        """Set queued rows to `skipped`, with the reason of each.

        With `ends_sequence` the later steps of their keys are skipped with the same reason.
        """
        changes = [self._arguments(id=number, reason=reason) for number, reason in rows.items()]

        def write(connection: LogConnection) -> None:
            ours = self._still_queued(connection, changes)
            connection.executemany(self._sql.skip_row, ours)
            if ends_sequence:
                connection.executemany(self._sql.end_sequence, ours)

        await self._write(write)

    async def earlier_steps(self, ids: Sequence[int]) -> Mapping[int, tuple[EarlierStep, ...]]:
        """Return the earlier steps of the keys of these rows, in their order; a first step has none."""
        arguments = {"ids": json.dumps(list(ids))}
        rows = await self._write(lambda connection: connection.execute(self._sql.earlier_steps, arguments).fetchall())
        found: dict[int, tuple[EarlierStep, ...]] = dict.fromkeys(ids, ())
        for number, step, state, *rest in rows:
            found[number] += (EarlierStep(step, Status(state), *rest),)
        return found

    async def held_by_others(self) -> int:
        """Return how many rows of the CSV other runs have claimed."""
        if not self._worker.is_shared:
            return 0
        return await self._write(
            lambda connection: self._worker.others_hold(connection, self._campaign, self._enlistment)
        )

    async def note_quota(self, why: str, until: float) -> None:
        """Record that a quota is spent, and until when (seconds since the epoch): `status` says it beside the run."""
        arguments = self._arguments(quota=why, until=until)
        await self._write(lambda connection: connection.execute(self._sql.note_quota, arguments))

    # -- inside --------------------------------------------------------------------------------------------------

    async def _started(self) -> None:
        """Join the workers of the log; wait for a server that was lost since the preparation."""
        while True:
            try:
                return await asyncio.to_thread(self._start)
            except SendLogUnusableError:
                if self._is_draining or not await self.is_back():
                    raise

    def _try_to_restore(self) -> str:
        with self._reading():
            return self._worker.try_to_restore(self._connection)

    def _start(self) -> None:
        with self._reading():
            terms = WorkTerms(
                lease_s=self._lease_s,
                say=self._say,
                now=self._clock.now,
                follow=partial(follow, self._clock, questions=1),
                look=self._look,
            )
            self._worker.start(self._connection, self._campaign, terms)

    def _look(self) -> None:
        """Let the writer thread find out that the server is away: it says so, and waits until it is back."""
        if self._writer and not self.is_away:
            self._writer.look()

    @property
    def _running(self) -> GroupCommit:
        if self._writer is None:
            raise SendLogError(f"the send log {self._database.place} is closed")
        return self._writer

    def _write(self, write: Callable[[LogConnection], T]) -> asyncio.Future[T]:
        return self._running.submit(write)

    def _still_queued(self, connection: LogConnection, changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return those of the changes whose rows this run still has, within a transaction."""
        if not self._worker.is_shared:
            return changes
        ours = self._worker.still_queued(connection, [change["id"] for change in changes])
        return [change for change in changes if change["id"] in ours]
