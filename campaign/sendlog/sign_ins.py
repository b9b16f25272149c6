"""Keep which sign-ins Clerk told of, `SignInLog`, and read them beside the mails: `Mailing`, `HeldOut`, `Inquiry`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, Self

from campaign.model import Revocation, Status
from campaign.sendlog.reading import LogReader
from campaign.sendlog.shared_log import SharedLog

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from campaign.clock import Clock
    from campaign.sendlog.database import LogConnection, LogDatabase, LogLocation

#: The states of a message that was or may have been sent.
_MAILED = frozenset({Status.SENT, Status.UNCERTAIN, Status.BOUNCED})
#: The states of a row whose turn is still to come.
_TO_COME = frozenset({Status.QUEUED, Status.ISSUING, Status.SENDING})


class Mailing(NamedTuple):
    """A message that was or may have been sent, and what is known of its recipient since. Instants are in seconds."""

    key: str
    step: str
    #: None: not known.
    batch: int | None
    is_bounced: bool
    sent_at: float
    #: The first sign-in that is known after it, and not after the next step's message; None if none is.
    signed_in_at: float | None
    #: Clerk had no such user when it was asked last.
    is_stranger: bool
    #: It carries a link.
    has_link: bool
    #: Clerk's answer to the link's revocation; None if there is none.
    answer: Revocation | None

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Self:
        """Return a row of the statement `mailings`."""
        key, step, batch, state, sent_at, signed_in_at, is_stranger, has_link, answer = row
        known = Revocation(answer) if answer else None
        is_bounced = state == Status.BOUNCED
        return cls(key, step, batch, is_bounced, sent_at, signed_in_at, bool(is_stranger), bool(has_link), known)


class HeldOut(NamedTuple):
    """A recipient who is held out, since the turn would have come. Instants are in seconds since the epoch."""

    key: str
    #: When the next recipient in the queue's order was mailed.
    turn_at: float
    #: That recipient's batch.
    batch: int | None
    #: When the row was held out.
    held_at: float
    #: The first sign-in that is known after the turn; None if none is.
    signed_in_at: float | None
    #: Clerk had no such user, or one whom the campaign would not mail, when it was asked last.
    is_stranger: bool


class Inquiry(NamedTuple):
    """When Clerk was asked about all who were mailed or held out (seconds since the epoch)."""

    began: float
    ended: float


class PersonToAsk(NamedTuple):
    """A recipient of whom Clerk is to be asked."""

    key: str
    user_id: str | None
    email: str
    #: A later sign-in counts (seconds since the epoch).
    since: float
    is_held_out: bool


class SignInLog(SharedLog):
    """A send log in which the sign-ins that Clerk tells of are written, beside a run.

    Args:
        log: the send log.
        name: the campaign.
        clock: the time.

    Raises:
        SendLogUnusableError: there is no log, it cannot be used, or it does not contain the campaign.
    """

    def __init__(self, log: LogLocation | LogDatabase, name: str, clock: Clock) -> None:
        with closing(LogReader(log)) as reader:
            reader.require(name)
        super().__init__(log, clock)
        with self._reading():
            self._campaign = self._connection.execute(self._sql.find_campaign, {"name": name}).fetchone()[0]
            self._held_out = {each.key: each for each in held_out(self._connection, self._campaign)}

    def people_to_ask(self, after: str, *, limit: int) -> tuple[list[PersonToAsk], str | None]:
        """Return recipients in the order of their keys: who was mailed or held out, and not seen to sign in since.

        Args:
            after: the last key of the page before; empty for the first page.
            limit: how many recipients are read.

        Returns:
            The page, and its last key; None after the last page.
        """
        arguments = {"campaign": self._campaign, "after": after, "limit": limit}
        with self._reading():
            rows = self._connection.execute(self._sql.people_to_ask, arguments).fetchall()
        people = []
        for key, user_id, email, first, is_seen in rows:
            held = self._held_out.get(key)
            if is_seen:
                continue
            if first is not None:
                people.append(PersonToAsk(key, user_id, email, first, is_held_out=False))
            elif held is not None and held.signed_in_at is None:
                people.append(PersonToAsk(key, user_id, email, held.turn_at, is_held_out=True))
        return people, rows[-1][0] if rows else None

    def note(self, answers: Iterable[tuple[PersonToAsk, float | None]], strangers: Iterable[PersonToAsk]) -> None:
        """Record what Clerk said: when each was signed in last (None: never), and of whom it has no user.

        Raises:
            SendLogError: the log cannot be written.
        """
        with self._transaction() as connection:
            for person, at in answers:
                arguments = {"campaign": self._campaign, "key": person.key, "at": at}
                connection.execute(self._sql.forget_stranger, arguments)
                if at is not None and at > person.since:
                    connection.execute(self._sql.note_sign_in, arguments)
            for person in strangers:
                connection.execute(self._sql.note_stranger, {"campaign": self._campaign, "key": person.key})

    def note_inquiry(self, began: float) -> None:
        """Record that Clerk was asked about everyone, from an instant (seconds since the epoch) until now."""
        with self._transaction() as connection:
            arguments = {"campaign": self._campaign, "began": began, "now": self._clock.now()}
            connection.execute(self._sql.note_inquiry, arguments)


def held_out(connection: LogConnection, campaign: int) -> list[HeldOut]:
    """Return the recipients of a campaign who are held out and whose turn would have come.

    Each counts from the moment when the recipient behind in the queue was mailed: so both groups are watched for the
    same time, whatever rates, quotas, batches and due times the campaign has.
    """
    arguments = {"campaign": campaign}
    if not connection.execute(connection.sql.is_anybody_held_out, arguments).fetchone()[0]:
        return []
    sign_ins: dict[str, list[float]] = {}
    for key, at in connection.stream(connection.sql.sign_ins_of_held_out, arguments):
        sign_ins.setdefault(key, []).append(at)
    found: list[HeldOut] = []
    pending: list[tuple[str, float, bool]] = []
    last: tuple[float, int | None] | None = None
    is_more_to_come = False

    def take(turn: tuple[float, int | None]) -> None:
        for key, held_at, is_stranger in pending:
            first = next((at for at in sign_ins.get(key, ()) if at > turn[0]), None)
            found.append(HeldOut(key, *turn, held_at, first, is_stranger))
        pending.clear()

    rows = connection.stream(connection.sql.queue_order, arguments)
    for key, state, actor, batch, sent_at, updated_at, is_stranger in rows:
        if state == Status.SKIPPED and actor == "holdout":
            pending.append((key, updated_at, bool(is_stranger)))
        elif state in _MAILED and sent_at is not None:
            last, is_more_to_come = (sent_at, batch), False
            take(last)
        elif state in _TO_COME:
            is_more_to_come = True
    if last is not None and not is_more_to_come:  # those at the end of the queue, which has come to it
        take(last)
    return found
