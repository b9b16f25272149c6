"""The nouns of a campaign: frozen values that pass between the parts. No behaviour beyond their own shape."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


#: No row and no service waits longer than this for its next try.
LONGEST_WAIT = timedelta(hours=1)
_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(?:(\d{1,6})\s*)?(second|minute|hour|day)s?\s*")
_UNITS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}


class Status(StrEnum):
    """The state of a recipient in the send log."""

    #: Nothing has left; `not_before` may be in the future.
    QUEUED = "queued"
    #: A token may have been asked for.
    ISSUING = "issuing"
    #: The intent is durable; the message may be out.
    SENDING = "sending"
    #: The server took it.
    SENT = "sent"
    #: It will not be sent: refused for good, or attempts used up.
    FAILED = "failed"
    #: Perhaps sent; nobody can know.
    UNCERTAIN = "uncertain"
    #: Not to be sent, with the reason.
    SKIPPED = "skipped"


class Recipient(NamedTuple):
    """One person to be mailed, as the CSV says."""

    #: One email per key and campaign, ever.
    key: str
    #: Exactly one plain mailbox; a non-ASCII domain is already in A-labels.
    email: str
    #: Clerk's `user_…`; None where the campaign has no link, or looks users up by address.
    user_id: str | None
    #: The columns by name, and the list of rows under the group's name.
    variables: Mapping[str, Any]
    #: The physical line of the CSV on which the (first) row begins, counted from 1.
    line: int

    @property
    def domain(self) -> str:
        """The address's domain, in lower case."""
        return self.email.rpartition("@")[2].lower()


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A row (or a group of rows) of the CSV that cannot be mailed; it is logged as `skipped`."""

    #: The key, as far as it could be read; may be empty.
    key: str
    #: The address as it stands in the file; may be empty.
    email: str
    user_id: str | None
    #: One sentence without the line number.
    reason: str
    line: int


@dataclass(frozen=True, slots=True)
class SignInToken:
    """A Clerk sign-in token. Who holds `token` is that user, once."""

    #: `sit_…`: what is kept, and what revokes it.
    id: str
    #: The credential. It goes into the message and nowhere else, so it has no part in `repr`.
    token: str = field(repr=False)
    user_id: str


@dataclass(frozen=True, slots=True)
class ClerkUser:
    """What a campaign needs to know of a user."""

    id: str
    #: All of the user's addresses, in lower case.
    addresses: frozenset[str]
    #: Those of them that Clerk has verified to be the user's.
    verified: frozenset[str]
    banned: bool
    locked: bool


class Revocation(StrEnum):
    """What Clerk answered to a revocation; each of them settles it."""

    REVOKED = "revoked"
    #: 404: Clerk does not know the token; or 400 after a try whose answer was lost: perhaps that one revoked it.
    UNKNOWN = "unknown"
    #: 400: it is not pending any more, and not by us: somebody has signed in with it.
    USED = "used"


class Delivery(NamedTuple):
    """A row of the send log that the pipeline has claimed."""

    #: The row's number in the send log.
    id: int
    recipient: Recipient
    #: How many attempts were begun before this one.
    attempts: int
    #: How many temporary faults were this row's own so far.
    faults: int
    #: Counts the tokens; enters the Message-ID, so that a new token makes a new message.
    generation: int


class Receipt(NamedTuple):
    """What a server answered, in its own words."""

    #: The reply code (RFC 5321 §4.2) or HTTP status.
    code: int
    #: The enhanced status code (RFC 3463) such as `5.1.1`, Clerk's error code, or an empty string.
    enhanced: str
    #: The text, at most 200 characters, all printable.
    text: str

    def __str__(self) -> str:
        """Return the reply on one line."""
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


class Outcome(NamedTuple):
    """What became of one attempt: the state that the recipient goes to, and why."""

    status: Status
    #: One sentence or the server's words; empty for `sent`.
    reason: str = ""
    reply: Receipt | None = None
    #: A token may exist at Clerk whose id nobody knows.
    possible_orphan: bool = False
    #: Temporary faults of the row's own so far; None leaves the number as it is.
    faults: int | None = None
    #: Seconds since the epoch; for `queued` only.
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any window of `period`."""

    count: int
    period: timedelta

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rate that `"14/second"` or `"1000/10 seconds"` means.

        Raises:
            ValueError: the text is not a rate, or is none at all ("0/second").
        """
        found = _RATE.fullmatch(text)
        if found is None or not int(found[1]) or found[2] == "0":
            raise ValueError(f'{text!r} is not a rate; write one like "14/second" or "1000/10 seconds"')
        return cls(int(found[1]), int(found[2] or 1) * _UNITS[found[3]])

    @property
    def per_second(self) -> float:
        """The rate as events a second."""
        return self.count / self.period.total_seconds()

    def __str__(self) -> str:
        """Return the rate as it is written in a campaign file."""
        for name, unit in reversed(_UNITS.items()):
            number, rest = divmod(self.period, unit)
            if not rest:
                return f"{self.count}/{name}" if number == 1 else f"{self.count}/{number} {name}s"
        return f"{self.count}/{self.period.total_seconds():g} seconds"


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts of a campaign, as `campaign status` shows them."""

    campaign: str
    counts: Mapping[Status, int]
    #: The same for the rows of the CSV read last.
    here: Mapping[Status, int] = field(default_factory=dict)
    #: Rows enlisted earlier that the CSV at hand does not hold; a subset of `queued`.
    elsewhere: int = 0
    #: Tokens that may exist at Clerk though nobody knows their ids, and until when the last of them lives.
    orphans: int = 0
    orphans_until: datetime | None = None
    #: Tokens whose revocation Clerk has not confirmed yet.
    revocations: int = 0
    #: Tokens that had been used when they were to be revoked: somebody signed in with them.
    used_before_revoked: int = 0

    @property
    def recipients(self) -> int:
        """The number of rows in the send log."""
        return sum(self.counts.values())

    def __getitem__(self, status: Status) -> int:
        """Return the number of recipients in a state."""
        return self.counts.get(status, 0)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What an earlier run left half done, and what it was put to."""

    #: `issuing` without a token id: a token may exist that nobody can name.
    orphans: int
    #: `issuing` with a token id: it is to be revoked.
    revocations: int
    #: `sending`: now `uncertain`.
    uncertain: int
