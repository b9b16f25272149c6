"""Read the aggregates of a campaign for its report, `Aggregates`: one consistent snapshot, in bounded memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple, Self

from campaign.errors import SendLogUnusableError
from campaign.model import Status
from campaign.sendlog.backends import database_of
from campaign.sendlog.counts import batches, summary
from campaign.sendlog.reading import Whose
from campaign.sendlog.returned_mail import FOR_NOW, MARKED_AS_SPAM
from campaign.sendlog.sign_ins import HeldOut, Inquiry, Mailing, held_out
from campaign.sendlog.suppressions import UNSUBSCRIBED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import timedelta
    from typing import Any

    from campaign.sendlog.counts import BatchCounts, Summary
    from campaign.sendlog.database import LogDatabase, LogLocation


class Calls(NamedTuple):
    """The number of calls of one service that began in the same time slot, with equal outcome and duration."""

    slot: int
    #: `issuing`: a token was requested from Clerk. `sending`: the mail server got a message.
    during: Status
    became: Status
    #: The duration, rounded to three digits; None if no answer came.
    seconds: float | None
    number: int


class Refusal(NamedTuple):
    """One attempt that did not end in `sent`."""

    during: Status
    became: Status
    #: Whether the requested token had arrived.
    has_token: bool
    #: 0 if there was no reply.
    code: int
    enhanced: str
    #: The server's text, or the reason if there was no reply.
    words: str
    whose: Whose


class Acceptances(NamedTuple):
    """The number of messages that the server accepted with the same code."""

    code: int
    enhanced: str
    #: The server's text for the first of them.
    words: str
    whose: Whose
    number: int


class Domain(NamedTuple):
    """The number of one domain's recipients in each state."""

    name: str
    sent: int
    bounced: int
    failed: int
    uncertain: int
    skipped: int
    #: `queued`, or under way.
    waiting: int
    #: The number of repeated attempts.
    again: int


class Answers(NamedTuple):
    """What came back from one domain: the number of recipients with each answer to a message that was accepted."""

    name: str
    #: `sent` or `bounced`.
    mailed: int
    #: Returned for good.
    bounced: int
    #: Returned for now: mailbox full, or the server could not be reached.
    soft: int
    complaints: int
    #: By the link in this campaign's mail.
    unsubscribed: int


class Carried(NamedTuple):
    """The number of tokens of rows in one state for which no revocation was requested."""

    state: Status
    number: int
    #: How many of them have not expired.
    living: int
    #: When the last of them expires (seconds since the epoch).
    until: float


class Person(NamedTuple):
    """A row with its address, for `campaign report --with-addresses`."""

    email: str
    key: str
    user_id: str | None
    line: int
    reason: str
    attempts: int
    #: Seconds since the epoch.
    at: float


class Aggregates:
    """A snapshot of one campaign in a send log, read in one transaction; a run may go on meanwhile.

    Args:
        log: the send log.
        name: the campaign.
        now: seconds since the epoch; decides which tokens have expired.

    Raises:
        SendLogUnusableError: the log is missing, cannot be read, or does not contain the campaign.
    """

    def __init__(self, log: LogLocation | LogDatabase, name: str, *, now: float) -> None:
        self._database = database_of(log)
        self._sql = self._database.sql
        self._name = name
        self._arguments: dict[str, Any] = {"now": now}
        self._connection = self._database.connect(for_writing=False)
        try:
            with self._database.sentences():
                self._connection.begin_snapshot()
            found = self._one(self._sql.find_campaign, name=name)
            if found is None:
                known = ", ".join(row[1] for row in self._rows(self._sql.campaigns)) or "none"
                raise SendLogUnusableError(
                    f"the send log {log} does not contain the campaign {name!r} (it contains: {known}); "
                    "run the campaign first"
                )
        except BaseException:
            self._connection.close()
            raise
        self._arguments |= {"campaign": found[0], "enlistment": found[5]}
        #: The CSV that was enlisted last.
        self.source = str(found[3])

    def __enter__(self) -> Self:
        """Return the snapshot itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the log."""
        self._connection.close()

    def summary(self) -> Summary:
        """Return the counts of the states."""
        campaign, enlistment, now = (self._arguments[name] for name in ("campaign", "enlistment", "now"))
        with self._database.sentences():
            return summary(self._connection, self._name, campaign=campaign, enlistment=enlistment, now=now)

    def batches(self, *, limit: int) -> list[BatchCounts]:
        """Return the last batches, at most `limit`, oldest first."""
        with self._database.sentences():
            return batches(self._connection, campaign=self._arguments["campaign"], limit=limit)

    def minutes(self) -> Iterator[tuple[float, float]]:
        """Yield the first and last instant of every minute in which a run changed a row's state, in order."""
        yield from self._rows(self._sql.minutes)

    def calls(self, *, origin: float, width: float) -> Iterator[Calls]:
        """Yield the outcomes of the calls that began in each slot of `width` seconds, counted from `origin`."""
        for slot, during, became, seconds, number in self._rows(self._sql.calls, origin=origin, width=width):
            yield Calls(slot, Status(during), Status(became), seconds, number)

    def fullest(self, status: Status, period: timedelta) -> int:
        """Return the most permits used in any window of this length, both ends included.

        Args:
            status: `sending` for messages, `issuing` for tokens: a row that enters this state uses a permit.
            period: the length of the window.
        """
        return int(self._one(self._sql.fullest, state=status, period=period.total_seconds())[0])

    def fullest_of(self, domains: Collection[str], period: timedelta) -> dict[str, int]:
        """Return the most messages in any window of this length, for each of the domains that got any."""
        names = json.dumps(list(domains))
        period_s = period.total_seconds()
        return dict(self._rows(self._sql.fullest_domains, state=Status.SENDING, period=period_s, domains=names))

    def acceptances(self, *, limit: int) -> Iterator[Acceptances]:
        """Yield the codes with which messages were accepted, the most frequent first."""
        for _, code, enhanced, words, *whose, number in self._rows(self._sql.acceptances, limit=limit):
            yield Acceptances(code, enhanced, words or "", Whose(*whose), number)

    def refusals(self) -> Iterator[Refusal]:
        """Yield every attempt of a run that did not end in `sent`."""
        for during, became, token_at, code, enhanced, words, *whose in self._rows(self._sql.refusals):
            state, end = Status(during), Status(became)
            yield Refusal(state, end, token_at is not None, code, enhanced, words, Whose(*whose))

    def domains(self, *, largest: int, troubled: int) -> tuple[list[Domain], int]:
        """Return (domains, total): the largest domains and those with the most failures, largest first."""
        rows = list(self._rows(self._sql.domains, largest=largest, troubled=troubled))
        return [Domain(*row[:8]) for row in rows], rows[0][8] if rows else 0

    def answers(self, *, limit: int) -> tuple[list[Answers], Answers, int]:
        """Return (domains, total, number): the domains with most answers; sum and number of all that have any."""
        words = {"for_now": FOR_NOW, "complaint": MARKED_AS_SPAM, "unsubscribed": UNSUBSCRIBED, "name": self._name}
        rows = list(self._rows(self._sql.answers, limit=limit, **words))
        totals = rows[0][6:] if rows else (0, 0, 0, 0, 0, 0)
        return [Answers(*row[:6]) for row in rows], Answers("", *totals[:5]), totals[5]

    def attempts(self) -> Iterator[tuple[int, Status, int]]:
        """Yield (attempts, state, number of recipients) for all recipients with at least one attempt."""
        for attempts, state, number in self._rows(self._sql.attempts):
            yield attempts, Status(state), number

    def explanations(self) -> Iterator[tuple[Status, str, Whose]]:
        """Yield (state, reason, row) for every row that has a reason."""
        for state, reason, *whose in self._rows(self._sql.explanations):
            yield Status(state), reason, Whose(*whose)

    def tokens_carried(self) -> list[Carried]:
        """Return the tokens for which no revocation was requested, by the state of their row."""
        return [
            Carried(Status(state), number, living, until or 0.0)
            for state, number, living, until in self._rows(self._sql.tokens_carried)
        ]

    def revocations(self) -> list[tuple[str | None, bool, int]]:
        """Return (Clerk's answer or None, whether the token is in a message that may have arrived, number)."""
        return [(outcome, bool(carried), number) for outcome, carried, number in self._rows(self._sql.revocations)]

    def orphans(self) -> int:
        """Return how many tokens with unknown ids may have been issued, including expired ones."""
        return int(self._one(self._sql.orphans)[0])

    def mailings(self) -> Iterator[Mailing]:
        """Yield every message that was or may have been sent; those of a recipient follow each other by step."""
        yield from map(Mailing.of, self._rows(self._sql.mailings))

    def held_out(self) -> list[HeldOut]:
        """Return the recipients who are held out, and whose turn would have come."""
        with self._database.sentences():
            return held_out(self._connection, self._arguments["campaign"])

    def inquiries(self) -> list[Inquiry]:
        """Return when Clerk was asked about all recipients, in order."""
        return [Inquiry(*row) for row in self._rows(self._sql.inquiries)]

    def people(self, state: Status, *, limit: int) -> list[Person]:
        """Return the first `limit` rows in a state."""
        return [Person(*row) for row in self._rows(self._sql.people, state=state, limit=limit)]

    def people_signed_in(self, *, limit: int) -> list[Person]:
        """Return the rows of used tokens that no message carries which arrived or may have arrived."""
        return [Person(*row) for row in self._rows(self._sql.people_signed_in, limit=limit)]

    def _rows(self, statement: str, **more: object) -> Iterator[Any]:
        with self._database.sentences():
            yield from self._connection.stream(statement, self._arguments | more)

    def _one(self, statement: str, **more: object) -> Any:  # noqa: ANN401 - the columns of the statement, or None
        with self._database.sentences():
            return self._connection.execute(statement, self._arguments | more).fetchone()
