"""What one transaction of a run's writer does with the writes of many callers: `GroupTransaction.execute`."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from campaign.errors import ClaimLostError, Scope, SendLogError, TransientError
from campaign.sendlog.worker import ContestedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Mapping, Sequence

    from campaign.sendlog.database import LogConnection
    from campaign.sendlog.worker import Claim, LogWorker

#: Asks the log, and returns what reads the answer.
Refusal: TypeAlias = "Callable[[LogConnection], Callable[[], Exception | None]]"
#: The same for many refusals at once: whether there is none.
IsClear: TypeAlias = "Callable[[LogConnection, Sequence[Any]], Callable[[], bool]]"
#: Why a write was refused, or None and the result of its action.
Result: TypeAlias = "tuple[Exception | None, object]"


class Write(NamedTuple):
    """One caller's write."""

    future: asyncio.Future[Any]
    #: The named parameters of each statement to run, by the statement's name.
    rows: Mapping[str, Mapping[str, object]]
    #: Called in the transaction, and its result after those of others; if that returns an error, the rows are not
    #: written, and the future gets the error.
    refusal: Refusal | None = None
    #: Called after all rows of the transaction are written.
    follow_up: Callable[[LogConnection], object] | None = None
    #: Called after them; the future gets its result.
    action: Callable[[LogConnection], object] | None = None
    urgent: bool = True
    #: The row that is written: if another run has claimed it meanwhile, nothing is written.
    claim: Claim | None = None
    #: No other run writes in this transaction's time.
    alone: bool = False


class GroupTransaction:
    """The transactions of one connection, one after the other.

    Each question to a server costs a round trip, and the answer is nearly always that all may be written. So all is
    written while the log is asked; if something may not be written, the transaction is rolled back and made again, with
    the questions first.

    Args:
        connection: where all is written.
        statements: as of `GroupCommit`.
        is_clear: as of `GroupCommit`.
        is_sequential: as of `GroupCommit`.
        worker: as of `GroupCommit`.
    """

    def __init__(
        self,
        connection: LogConnection,
        statements: Mapping[str, str],
        is_clear: IsClear | None,
        *,
        is_sequential: bool,
        worker: LogWorker,
    ) -> None:
        self._connection = connection
        self._statements = statements
        self._is_clear = is_clear
        self._is_sequential = is_sequential
        self._worker = worker

    def execute(self, group: list[Write]) -> list[Result]:
        """Return the refusal or the result of each write, when all others are durable.

        Raises:
            SendLogError: a row is not in the state in which its caller has left it.
            Exception: of the database.
        """
        alone = self._is_sequential or any(write.alone for write in group)
        if self._can_ask_meanwhile(group):
            with suppress(ContestedError):
                return self._worker.transact(self._connection, partial(self._write_and_ask, group), alone=alone)
        return self._worker.transact(self._connection, partial(self._write_all, group), alone=alone)

    def _can_ask_meanwhile(self, group: list[Write]) -> bool:
        """Return whether the rows' own statements tell that the run has them, and one question all else."""
        return (
            self._worker.is_shared and not self._is_sequential and all(write.rows or not write.claim for write in group)
        )

    def _write_and_ask(self, group: list[Write]) -> list[Result]:
        """Write the rows of all, and ask meanwhile whether they may be written, which saves a round trip.

        Raises:
            ContestedError: some may not; the transaction must be rolled back.
        """
        asked = [write.refusal for write in group if write.refusal]
        begins = any(write.claim and write.claim.begins for write in group)
        with self._connection.pipeline():
            is_clear = self._is_clear(self._connection, asked) if asked and self._is_clear else lambda: not asked
            wrong = self._change(group)
        if wrong() or not is_clear() or (begins and not self._worker.has_lease(self._connection)):
            raise ContestedError
        return [(None, write.action(self._connection) if write.action else None) for write in group]

    def _write_all(self, group: list[Write]) -> list[Result]:
        parts = [[write] for write in group] if self._is_sequential else [group]
        return [result for part in parts for result in self._ask_and_write(part)]

    def _ask_and_write(self, group: list[Write]) -> list[Result]:
        """Write the rows of some writes, within the transaction; return the result or the refusal of each."""
        refusals = self._refusals(group)
        with self._connection.pipeline():
            wrong = self._change([write for write, refused in zip(group, refusals, strict=True) if refused is None])
        if name := wrong():
            raise SendLogError(f"rows are not in the expected state ({name})")
        results = [
            write.action(self._connection) if write.action and refused is None else None
            for write, refused in zip(group, refusals, strict=True)
        ]
        return list(zip(refusals, results, strict=True))

    def _change(self, group: list[Write]) -> Callable[[], str]:
        """Execute the statements of some writes.

        Returns:
            What reads their results: the name of a statement that did not change each of its rows, or nothing.
        """
        changes = []
        for name, statement in self._statements.items():
            if some := [write for write in group if name in write.rows]:
                rows, claims = [write.rows[name] for write in some], [write.claim for write in some]
                changes.append((name, len(some), self._worker.change(self._connection, statement, rows, claims)))
        for write in group:
            if write.follow_up:
                write.follow_up(self._connection)
        return lambda: next((name for name, number, changed in changes if changed.rowcount != number), "")

    def _refusals(self, group: list[Write]) -> list[Exception | None]:
        """Return why each of some writes must not be made, within the transaction; all is asked before it is read."""
        claims = [write.claim for write in group if write.claim] if self._worker.is_shared else []
        held = self._worker.held(self._connection, claims) if claims else None
        asked = [write.refusal for write in group if write.refusal]
        is_clear = self._is_clear(self._connection, asked) if asked and self._is_clear else None
        lost = self._lost(claims, held()) if held else {}
        if not asked or (is_clear and is_clear()):
            refusals: list[Exception | None] = [None] * len(group)
        else:
            with self._connection.pipeline():
                answers = [write.refusal(self._connection) if write.refusal else None for write in group]
            refusals = [read() if read else None for read in answers]
        if not lost:
            return refusals
        return [
            lost.get(write.claim.id) if write.claim and refused is None else refused
            for write, refused in zip(group, refusals, strict=True)
        ]

    def _lost(self, claims: Sequence[Claim], held: Collection[int]) -> dict[int, Exception]:
        """Return why rows must not be written that this run had claimed, by their ids."""
        lost: dict[int, Exception] = {each.id: ClaimLostError() for each in claims if each.id not in held}
        if not self._worker.has_lease(self._connection):
            lost = {each.id: _lease_is_over() for each in claims if each.begins} | lost
        return lost


def _lease_is_over() -> TransientError:
    return TransientError("this run was not heard of for longer than its lease; nothing was begun", scope=Scope.NONE)
