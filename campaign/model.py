"""The data classes of a campaign, from `Recipient` to `Outcome`: immutable values that the modules exchange."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


#: The longest wait of a row or a service before its next attempt.
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

    #: Nothing was sent; `not_before` may be in the future.
    QUEUED = "queued"
    #: A token may have been requested.
    ISSUING = "issuing"
    #: The intent to send is durable; the message may have been sent.
    SENDING = "sending"
    #: The mail server accepted the message.
    SENT = "sent"
    #: The message will not be sent: it was refused permanently, or all attempts are used up.
    FAILED = "failed"
    #: The message may have been sent: the server's reply was lost.
    UNCERTAIN = "uncertain"
    #: The message must not be sent; the row has the reason.
    SKIPPED = "skipped"
    #: The mail server accepted the message, and later it came back; its token is revoked.
    BOUNCED = "bounced"


class Recipient(NamedTuple):
    """A person who gets the email, with the data from the CSV."""

    #: Identifies the recipient: each key gets at most one email per campaign.
    key: str
    #: Exactly one plain mailbox; a non-ASCII domain is already in A-labels.
    email: str
    #: Clerk's `user_…`; None if the campaign has no link, or looks users up by address.
    user_id: str | None
    #: The columns by name; in a grouped CSV also the list of the recipient's rows, under the group's name.
    variables: Mapping[str, Any]
    #: The physical line of the CSV on which the (first) row begins, counted from 1.
    line: int

    @property
    def domain(self) -> str:
        """The address's domain, in lower case."""
        return self.email.rpartition("@")[2].lower()


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A row (or group of rows) of the CSV that cannot be mailed; the send log has it as `skipped`."""

    #: The key; empty if it could not be read.
    key: str
    #: The address as in the file; may be empty.
    email: str
    user_id: str | None
    #: Why, in one sentence without the line number.
    reason: str
    line: int


@dataclass(frozen=True, slots=True)
class SignInToken:
    """A Clerk sign-in token: anyone who has `token` can sign in as the user, once."""

    #: `sit_…`: the id, which is stored and with which the token is revoked.
    id: str
    #: The credential: it goes into the message and nowhere else, so `repr` leaves it out.
    token: str = field(repr=False)
    user_id: str


@dataclass(frozen=True, slots=True)
class ClerkUser:
    """A Clerk user, with the fields that a campaign needs."""

    id: str
    #: All of the user's addresses, in lower case.
    addresses: frozenset[str]
    #: The addresses that Clerk has verified.
    verified: frozenset[str]
    banned: bool
    locked: bool


class Revocation(StrEnum):
    """Clerk's answer to a revocation; each of them settles it."""

    REVOKED = "revoked"
    #: 404: Clerk does not know the token; or 400 after a try whose answer was lost, which may have revoked the token.
    UNKNOWN = "unknown"
    #: 400: the token is not pending any more, although the campaign did not revoke it: it was used to sign in.
    USED = "used"


class Delivery(NamedTuple):
    """A row of the send log that the pipeline has claimed."""

    #: The row's id in the send log.
    id: int
    recipient: Recipient
    #: The number of attempts begun before this one.
    attempts: int
    #: The number of temporary faults with scope `recipient` so far.
    faults: int
    #: Goes up with each requested token and each resend. It is part of the Message-ID, so a new message has a new one.
    generation: int


class Receipt(NamedTuple):
    """A server's reply."""

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
    """The outcome of one attempt: the row's next state, and the reason."""

    status: Status
    #: One sentence or the server's text; empty for `sent`.
    reason: str = ""
    reply: Receipt | None = None
    #: A token whose id is unknown may exist at Clerk.
    possible_orphan: bool = False
    #: The number of temporary faults with scope `recipient` so far; None leaves it unchanged.
    faults: int | None = None
    #: Seconds since the epoch; for `queued` only.
    not_before: float = 0.0
    #: Why the address gets no mail of any list from now on; empty if it may get some.
    suppress: str = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate limit: at most `count` in any window of length `period`."""

    count: int
    period: timedelta

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rate that `"14/second"` or `"1000/10 seconds"` means.

        Raises:
            ValueError: the text is not a rate, or its count or period is 0 ("0/second").
        """
        found = _RATE.fullmatch(text)
        if found is None or not int(found[1]) or found[2] == "0":
            raise ValueError(f'{text!r} is not a rate; write one like "14/second" or "1000/10 seconds"')
        return cls(int(found[1]), int(found[2] or 1) * _UNITS[found[3]])

    @property
    def per_second(self) -> float:
        """The rate in permits per second."""
        return self.count / self.period.total_seconds()

    def __str__(self) -> str:
        """Return the rate in the notation of the campaign file."""
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
    #: The counts of only the rows in the CSV read last.
    here: Mapping[Status, int] = field(default_factory=dict)
    #: Queued rows of earlier CSVs that the CSV read last does not contain.
    elsewhere: int = 0
    #: Unexpired tokens that may exist at Clerk although their ids are unknown, and when the last of them expires.
    orphans: int = 0
    orphans_until: datetime | None = None
    #: Tokens whose revocation Clerk has not confirmed yet.
    revocations: int = 0
    #: Tokens that had been used before the revocation, although no message that may have arrived carries them.
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
    """How many rows a crashed run left in `issuing` or `sending`, and what `recover` did with them."""

    #: `issuing` without a token id: now `queued`; a token with an unknown id may exist.
    orphans: int
    #: `issuing` with a token id: now `queued`, and the token will be revoked.
    revocations: int
    #: `sending`: now `uncertain`.
    uncertain: int
