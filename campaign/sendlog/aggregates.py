"""The send log for those who look back: what a campaign adds up to, read at one instant, in bounded memory.

Counts of states and single recipients are read elsewhere; what the numbers mean is decided elsewhere.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, NamedTuple, Self

from campaign.errors import SendLogUnusableError
from campaign.model import Status
from campaign.sendlog.files import open_for_reading
from campaign.sendlog.reading import summary
from campaign.sendlog.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import timedelta
    from pathlib import Path
    from typing import Any

    from campaign.model import Summary


class Calls(NamedTuple):
    """Calls of one service that began in one slot of time, ended alike and took alike."""

    slot: int
    #: `issuing`: Clerk was asked for a token. `sending`: the mail server got a message.
    during: Status
    became: Status
    #: Rounded to three digits; None where no answer came.
    seconds: float | None
    number: int


class Whose(NamedTuple):
    """The row that some words are about: what must not be told of it."""

    email: str
    key: str
    user_id: str | None


class Refusal(NamedTuple):
    """One attempt that did not end in `sent`."""

    during: Status
    became: Status
    #: The token that was asked for had come.
    has_token: bool
    #: 0: no reply.
    code: int
    enhanced: str
    #: The server's words, or the reason where there was no reply.
    words: str
    whose: Whose


class Acceptances(NamedTuple):
    """Messages that were taken with the same code."""

    code: int
    enhanced: str
    #: Of the first of them.
    words: str
    whose: Whose
    number: int


class Domain(NamedTuple):
    """What became of the recipients of one domain."""

    name: str
    sent: int
    failed: int
    uncertain: int
    skipped: int
    #: `queued`, or under way.
    waiting: int
    #: Attempts beyond each recipient's first.
    again: int


class Carried(NamedTuple):
    """Tokens of rows in one state that nobody asked Clerk to revoke."""

    state: Status
    number: int
    #: Of these, not expired.
    living: int
    #: Seconds since the epoch: when the last of them ends.
    until: float


class Person(NamedTuple):
    """A row, for those who may see the addresses."""

    email: str
    key: str
    user_id: str | None
    line: int
    reason: str
    attempts: int
    #: Seconds since the epoch.
    at: float


class Aggregates:
    """One campaign in a send log, as it stood at one instant; a campaign may be running meanwhile.

    Args:
        path: the send log.
        name: the campaign.
        now: seconds since the epoch; decides what has expired.

    Raises:
        SendLogUnusableError: there is no log, it cannot be read, or it does not know the campaign.
    """

    def __init__(self, path: Path, name: str, *, now: float) -> None:
        self._path = path
        self._name = name
        self._arguments: dict[str, Any] = {"now": now}
        self._connection = open_for_reading(path)
        try:
            self._execute("BEGIN")
            found = self._execute(SQL.find_campaign, {"name": name}).fetchone()
            if found is None:
                known = ", ".join(row[1] for row in self._rows(SQL.campaigns)) or "none"
                raise SendLogUnusableError(
                    f"the send log {path} does not contain the campaign {name!r} (it contains: {known}); "
                    "run the campaign first"
                )
        except BaseException:
            self._connection.close()
            raise
        self._arguments |= {"campaign": found[0], "enlistment": found[5]}
        #: The CSV that was enlisted last.
        self.source = str(found[3])

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._connection.close()

    def summary(self) -> Summary:
        """Return the counts of the states."""
        campaign, enlistment, now = (self._arguments[name] for name in ("campaign", "enlistment", "now"))
        try:
            return summary(self._connection, self._name, campaign=campaign, enlistment=enlistment, now=now)
        except sqlite3.DatabaseError as error:
            raise self._unusable(error) from error

    def minutes(self) -> Iterator[tuple[float, float]]:
        """Yield the first and the last instant of every minute in which a run moved a row, in order."""
        yield from self._rows(SQL.minutes)

    def calls(self, *, origin: float, width: float) -> Iterator[Calls]:
        """Yield what became of the calls that began in each slot of `width` seconds, counted from `origin`."""
        for slot, during, became, seconds, number in self._rows(SQL.calls, origin=origin, width=width):
            yield Calls(slot, Status(during), Status(became), seconds, number)

    def fullest(self, status: Status, period: timedelta) -> int:
        """Return the most turns of any window of this length, both ends included.

        Args:
            status: `sending` for messages, `issuing` for tokens: the states whose entry took a turn.
            period: the window.
        """
        rows = self._rows(SQL.fullest, state=status, period=period.total_seconds())
        return int(next(rows)[0])

    def fullest_of(self, domains: Collection[str], period: timedelta) -> dict[str, int]:
        """Return the most messages of any window of this length, for each of the domains that had any."""
        names = json.dumps(list(domains))
        period_s = period.total_seconds()
        return dict(self._rows(SQL.fullest_domains, state=Status.SENDING, period=period_s, domains=names))

    def acceptances(self, *, limit: int) -> Iterator[Acceptances]:
        """Yield the codes with which messages were taken, the most frequent first."""
        for _, code, enhanced, words, *whose, number in self._rows(SQL.acceptances, limit=limit):
            yield Acceptances(code, enhanced, words or "", Whose(*whose), number)

    def refusals(self) -> Iterator[Refusal]:
        """Yield every attempt of a run that did not end in `sent`."""
        for during, became, token_at, code, enhanced, words, *whose in self._rows(SQL.refusals):
            state, end = Status(during), Status(became)
            yield Refusal(state, end, token_at is not None, code, enhanced, words, Whose(*whose))

    def domains(self, *, largest: int, troubled: int) -> tuple[list[Domain], int]:
        """Return the largest domains and those with the most trouble, the largest first; and how many there are."""
        rows = list(self._rows(SQL.domains, largest=largest, troubled=troubled))
        return [Domain(*row[:7]) for row in rows], rows[0][7] if rows else 0

    def attempts(self) -> Iterator[tuple[int, Status, int]]:
        """Yield (attempts, state, number of recipients), for those who were tried."""
        for attempts, state, number in self._rows(SQL.attempts):
            yield attempts, Status(state), number

    def explanations(self) -> Iterator[tuple[Status, str, Whose]]:
        """Yield the reason of every row that has one."""
        for state, reason, *whose in self._rows(SQL.explanations):
            yield Status(state), reason, Whose(*whose)

    def tokens_carried(self) -> list[Carried]:
        """Return the tokens that nobody asked Clerk to revoke, by the state of their row."""
        return [
            Carried(Status(state), number, living, until or 0.0)
            for state, number, living, until in self._rows(SQL.tokens_carried)
        ]

    def revocations(self) -> list[tuple[str | None, bool, int]]:
        """Return (Clerk's answer or None, whether the token is in a message that may have arrived, number)."""
        return [(outcome, bool(carried), number) for outcome, carried, number in self._rows(SQL.revocations)]

    def orphans(self) -> int:
        """Return how many tokens may ever have been made whose ids nobody knows."""
        return int(self._execute(SQL.orphans, self._arguments).fetchone()[0])

    def people(self, state: Status, *, limit: int) -> list[Person]:
        """Return the first rows in a state."""
        return [Person(*row) for row in self._rows(SQL.people, state=state, limit=limit)]

    def people_signed_in(self, *, limit: int) -> list[Person]:
        """Return the rows whose token was used though no message that arrived carries it."""
        return [Person(*row) for row in self._rows(SQL.people_signed_in, limit=limit)]

    def _rows(self, statement: str, **more: object) -> Iterator[Any]:
        try:
            yield from self._execute(statement, self._arguments | more)
        except sqlite3.DatabaseError as error:
            raise self._unusable(error) from error

    def _execute(self, statement: str, arguments: dict[str, Any] | None = None) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, arguments or {})
        except sqlite3.DatabaseError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: sqlite3.DatabaseError) -> SendLogUnusableError:
        return SendLogUnusableError(
            f"the send log {self._path} cannot be read ({error}); if it is damaged, restore it from a backup"
        )
