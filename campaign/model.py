"""The data classes of a campaign, from `Recipient` to `Outcome`: immutable values that the modules exchange."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


#: The longest wait of a row or a service before its next attempt.
LONGEST_WAIT = timedelta(hours=1)
#: The `not_before` of a row that no instant makes due (seconds since the epoch, the year 9999): something must happen.
NEVER = 253_370_764_800.0
_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(?:(\d{1,6})\s*)?(second|minute|hour|day|week)s?\s*")
_UNITS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
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


class Waiting(StrEnum):
    """What a queued row waits for, which `log` and `status` show; a row that is simply next waits for nothing."""

    NOTHING = ""
    #: Its next attempt, after a temporary fault.
    RETRY = "retry"
    #: Its due time.
    DUE = "due"
    #: The hours and days at which its recipient may be mailed.
    WINDOW = "window"
    #: The step before it, which is not sent yet.
    STEP = "step"
    #: A batch that takes it up.
    BATCH = "batch"
    #: Its recipient's share: too many mails went to this address lately.
    CAP = "cap"
    #: The campaign's daily quota.
    QUOTA = "quota"
    #: The site's answer whether the mail is still wanted.
    RECHECK = "recheck"


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
    #: When the first step is due (seconds since the epoch); 0 is at once.
    due_at: float = 0.0
    #: The row's place by the column `order`: smaller ones come first.
    position: float = 0.0

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
    #: Seconds since the epoch; None if the user never signed in.
    last_sign_in_at: float | None = None
    #: The latest activity of a session, which Clerk gives to the day (seconds since the epoch); None if there is none.
    last_active_at: float | None = None


class WaitlistRow(NamedTuple):
    """An entry of Clerk's waitlist, which is no user."""

    id: str
    #: As Clerk has it; it may be empty.
    address: str
    #: `pending`, `invited`, `completed` or `rejected`.
    status: str
    #: Seconds since the epoch; None if Clerk does not say it.
    joined_at: float | None


class UserCreation(NamedTuple):
    """What the send log has of the creation of a Clerk user for an address."""

    #: The row for which the user was asked for.
    delivery_id: int
    #: When the last call left (seconds since the epoch).
    asked_at: float
    #: When it was known what came of it; None: Clerk's answer is not known.
    settled_at: float | None
    #: `created`, `found` (the address was taken) or `refused`; None: not known.
    outcome: str | None
    #: The user's id; None if there is none, or it is not known.
    user_id: str | None


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
    #: The step's name; empty in a campaign without `[[steps]]`.
    step: str = ""
    step_number: int = 0  #: From 0.
    #: The number of the batch that took the row up.
    batch: int = 0
    #: When it is due by the schedule (seconds since the epoch); 0 if that is not known yet, or at once.
    due_at: float = 0.0
    #: The token's id if its reader asked for a new link, for which no schedule holds; None: no request.
    replaced_token: str | None = None
    fence: int = 0  #: The number of the claim: a write with an older one than the row's is lost.


class Deferral(NamedTuple):
    """Until when a queued row waits, and for what."""

    #: Seconds since the epoch.
    not_before: float
    waiting: Waiting
    reason: str
    #: When it is due by the schedule (seconds since the epoch); 0 if that is not known yet, or at once.
    due_at: float = 0.0


class EarlierStep(NamedTuple):
    """An earlier step of a claimed row's key."""

    step: str
    status: Status
    #: When its intent to send became durable (seconds since the epoch); None if it never did.
    sent_at: float | None
    token_id: str | None
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """The recipients that one run takes up."""

    #: Counted from 1, in each campaign.
    number: int
    #: Seconds since the epoch.
    at: float
    #: The recipients that had never been tried.
    size: int


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
    #: What the row waits for; for `queued` only.
    waiting: Waiting = Waiting.RETRY
    #: The later steps of the key are skipped with the same reason; for `skipped` only.
    ends_sequence: bool = False
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
