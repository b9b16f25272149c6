"""Read a send log, also while a run writes it: `LogReader` returns counts, reasons and one record per recipient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from campaign.clock import instant
from campaign.errors import SendLogUnusableError
from campaign.model import NEVER, Status
from campaign.sendlog.backends import database_of
from campaign.sendlog.counts import FIRST_INSTANT, BatchCounts, Summary, batches, summary

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from campaign.sendlog.database import LogDatabase, LogLocation

#: The columns of `campaign log`, in this order.
FIELDS = (
    "key", "user_id", "email", "state", "reason", "attempts", "message_id", "token_id", "code", "reply", "updated_at",
    "step", "batch", "due_at", "waiting", "not_before",
)  # fmt: skip


_STATE = FIELDS.index("state")


class Whose(NamedTuple):
    """The personal data of the row that a text is about, to be removed from the text."""

    email: str
    key: str
    user_id: str | None


class Explanation(NamedTuple):
    """Why a row is in its state."""

    state: Status
    reason: str
    whose: Whose
    #: The row's line in the CSV.
    line: int


class LogReader:
    """A send log, open for reading.

    Args:
        log: where it is.

    Raises:
        SendLogUnusableError: there is no log, or it cannot be read.
    """

    def __init__(self, log: LogLocation | LogDatabase) -> None:
        self._database = database_of(log)
        self._sql = self._database.sql
        self._connection = self._database.connect(for_writing=False)

    @property
    def place(self) -> LogLocation:
        """Where the log is."""
        return self._database.place

    def close(self) -> None:
        """Close the log."""
        self._connection.close()

    def moved(self) -> str | None:
        """Return the sentence that names the place to which the log was moved; None: it is used here."""
        with self._database.sentences():
            return self._database.moved(self._connection)

    def moved_to(self) -> str | None:
        """Return the place to which the log was moved, without secrets; None: it was not, or has come back."""
        with self._database.sentences():
            return self._database.moved_to(self._connection)

    def campaigns(self) -> list[str]:
        """Return the names of the campaigns in the log."""
        return [row[1] for row in self._rows(self._sql.campaigns)]

    def summary(self, name: str, *, now: float) -> Summary:
        """Return a campaign's counts; all are 0 if the log does not contain the campaign."""
        found = self._find(name)
        if found is None:
            return Summary(name, {})
        with self._database.sentences():
            return summary(self._connection, name, campaign=found[0], enlistment=found[5], now=now)

    def batches(self, name: str, *, limit: int) -> list[BatchCounts]:
        """Return a campaign's last batches, at most `limit`, oldest first, each with the states of its recipients."""
        found = self._find(name)
        if found is None:
            return []
        with self._database.sentences():
            return batches(self._connection, campaign=found[0], limit=limit)

    def latest_instant(self) -> float:
        """Return when a row's state changed last, in seconds since the epoch; 0 in an empty log."""
        return float(self._one(self._sql.latest_instant)[0])

    def explanations(self, name: str) -> Iterator[Explanation]:
        """Yield the rows of the CSV read last that have a reason, in the order of the CSV."""
        if found := self._find(name):
            arguments = {"campaign": found[0], "enlistment": found[5]}
            for state, reason, line, *whose in self._rows(self._sql.explanations_here, arguments):
                yield Explanation(Status(state), reason, Whose(*whose), line)

    def recipients(self, name: str, *, state: Status | None = None) -> Generator[dict[str, Any], None, None]:
        """Yield one record of `FIELDS` per recipient and step, in the order of the CSV; instants in ISO 8601, UTC."""
        for row in self._rows(self._sql.rows, {"campaign": self._campaign(name), "state": state}):
            yield _record(row)

    def by_message_id(self, message_id: str) -> tuple[str, dict[str, Any]] | None:
        """Return the campaign and the record of the recipient of the message with this Message-ID.

        The message may be from an earlier attempt; the record then has the Message-ID of a later one. The search
        reads the whole log.
        """
        found = self._one(self._sql.row_of_message, {"message_id": message_id})
        return None if found is None else (str(found[0]), _record(found[1:]))

    def _find(self, name: str) -> Any:  # noqa: ANN401 - a row of the table, or None
        return self._one(self._sql.find_campaign, {"name": name})

    def require(self, name: str) -> None:
        """Raise SendLogUnusableError if the log does not contain the campaign."""
        self._campaign(name)

    def _campaign(self, name: str) -> int:
        found = self._find(name)
        if found is None:
            known = ", ".join(self.campaigns()) or "none"
            raise SendLogUnusableError(
                f"the send log {self.place} does not contain the campaign {name!r} (it contains: {known}); "
                "run the campaign first"
            )
        return int(found[0])

    def _rows(self, statement: str, arguments: dict[str, Any] | None = None) -> Iterator[Any]:
        with self._database.sentences():
            yield from self._connection.stream(statement, arguments or {})

    def _one(self, statement: str, arguments: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - a row, or None
        with self._database.sentences():
            return self._connection.execute(statement, arguments or {}).fetchone()


def _record(row: tuple[Any, ...]) -> dict[str, Any]:
    """Return one record; an instant is in ISO 8601, or None if there is none or nobody knows it."""
    *values, code, enhanced, reply, updated_at, step, batch, due_at, waiting, not_before = row
    words = " ".join(part for part in (enhanced, reply) if part)
    is_queued = values[_STATE] == Status.QUEUED
    values += [code, words or None, _iso(updated_at), step, batch, _iso(due_at)]
    values += [waiting or None, _iso(not_before)] if is_queued else [None, None]
    return dict(zip(FIELDS, values, strict=True))


def _iso(seconds: float) -> str | None:
    return instant(seconds).isoformat(timespec="milliseconds") if FIRST_INSTANT <= seconds < NEVER else None
