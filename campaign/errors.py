"""All error classes of the program, each named after what it means for the run or the recipient.

CampaignError                     str() is a sentence for the operator
├── CannotStartError              the run cannot start; nothing was sent              exit 2
│   ├── SettingsError             the environment
│   ├── DefinitionError           the campaign file
│   ├── RecipientsError           the CSV
│   │   └── NoRecipientsError     Clerk's waitlist has no entry for this campaign
│   ├── TemplateError             a template, or a file for all recipients
│   │   └── RowError              a row's values or files, which make its message impossible: skip the row
│   │       ├── RowTooLargeError  a row whose mail would be too large, or take too much work
│   │       └── ScheduleError     a row's time or zone that cannot be read
│   └── SendLogUnusableError      the send log cannot be opened
│       └── LogUnreachableError   its server cannot be reached now                    exit 3
├── LogHeldError                  another run holds this log                          exit 75
├── ServiceRefusesError           a service refuses all requests: stop the run        exit 3
├── SendLogError                  the send log cannot be written: stop the run        exit 1
├── ClaimLostError                another run has the row: end its path here, and write nothing
└── DeliveryError                 one attempt failed; the pipeline catches these
    ├── TransientError            not sent; it may work later
    ├── DeferredError             not sent: it is not its time yet, which is nobody's fault
    ├── PermanentError            not sent; it will not work later
    └── UncertainError            may have been sent: the server's reply was lost

The errors that stop a run are not subclasses of `DeliveryError`, so that the handler of a failed attempt cannot catch
them by accident. Each adapter converts the errors of its library into these.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from campaign.model import Receipt, Waiting


class CampaignError(Exception):
    """An error whose text is a sentence that says what is wrong and what to do."""


class CannotStartError(CampaignError):
    """The run cannot start: input or settings are wrong. Nothing was sent."""


class SettingsError(CannotStartError):
    """A setting of the environment or of `.env` is missing or wrong."""


class DefinitionError(CannotStartError):
    """The campaign file is missing, malformed or asks for something impossible."""


class RecipientsError(CannotStartError):
    """The CSV as a whole cannot be used (a single invalid row is skipped instead)."""


class NoRecipientsError(RecipientsError):
    """Clerk's waitlist has no entry for this campaign; a watch waits for the first one."""


class TemplateError(CannotStartError):
    """A template or a file for all is missing or wrong, or cannot be rendered whatever the row: the run stops."""


class RowError(TemplateError):
    """One row's values or files make its message impossible; it does not concern the others, so this row is skipped."""


class RowTooLargeError(RowError):
    """The rendering of one row passes the limit of size or work; if several do in sequence, the template is why."""


class ScheduleError(RowError):
    """A time or a zone of one row cannot be read; the sentence names the column, and what to write."""


class SendLogUnusableError(CannotStartError):
    """The send log cannot be opened (locked, newer, corrupt or not a send log); the file is not changed."""


class LogUnreachableError(SendLogUnusableError):
    """The server of the send log does not answer, or takes no more sessions; it may do so later."""


class LogHeldError(CampaignError):
    """Another run has the lock of this send log."""


class ServiceRefusesError(CampaignError):
    """Clerk or the mail server refuses all requests, for every recipient (keys, authentication, TLS)."""


class SendLogError(CampaignError):
    """The send log cannot be written any longer (disk full, I/O error). Sending must stop."""


class ClaimLostError(CampaignError):
    """Another run has claimed the row meanwhile: this run sends it no more, and does not write its outcome."""

    def __init__(self) -> None:
        super().__init__("another run has claimed this row meanwhile")


class Scope(StrEnum):
    """What has to wait before the next attempt after a `TransientError`."""

    #: Only this recipient (greylisting, mailbox full): it uses up one of the row's attempts.
    RECIPIENT = "recipient"
    #: Every recipient of the same domain.
    DOMAIN = "domain"
    #: All messages: the mail server is paused, and no row's attempt is used up.
    SERVER = "server"
    #: All calls of Clerk: Clerk is paused, and no row's attempt is used up.
    CLERK = "clerk"
    #: Nothing: the row may be tried again at once.
    NONE = "nobody"


class DeliveryError(CampaignError):
    """One attempt to deliver failed; `reply` is the server's reply, if there was one."""

    def __init__(self, reason: str, *, reply: Receipt | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reply = reply


class TransientError(DeliveryError):
    """Nothing was sent, and it may work later.

    Attributes:
        scope: what has to wait.
        wait: the wait that the service asked for (`Retry-After`); None lets the backoff decide.
        maybe_applied: Clerk may have done what was requested although its answer was lost or unusable: a token with
            an unknown id may exist, or a token may be revoked.
    """

    def __init__(
        self,
        reason: str,
        *,
        scope: Scope = Scope.RECIPIENT,
        wait: timedelta | None = None,
        maybe_applied: bool = False,
        reply: Receipt | None = None,
    ) -> None:
        super().__init__(reason, reply=reply)
        self.scope = scope
        self.wait = wait
        self.maybe_applied = maybe_applied


class DeferredError(DeliveryError):
    """Nothing was sent, since it is not its time yet: the row waits, and no attempt is used up.

    Attributes:
        until: the instant (seconds since the epoch) at which the row is due again.
        waiting: what it waits for.
    """

    def __init__(self, reason: str, *, until: float, waiting: Waiting) -> None:
        super().__init__(reason)
        self.until = until
        self.waiting = waiting


class PermanentError(DeliveryError):
    """Nothing was sent, and it will not work later.

    Attributes:
        skip: the row goes to `skipped` (unknown or banned user, other address), not to `failed`.
        ends_sequence: its person has come back or said no: the later steps are skipped with the same reason.
        about_address: the reply answers RCPT, the command that names the recipient's address. A reply to another
            command may have the same code and concern the sender.
    """

    def __init__(
        self,
        reason: str,
        *,
        skip: bool = False,
        ends_sequence: bool = False,
        about_address: bool = False,
        reply: Receipt | None = None,
    ) -> None:
        super().__init__(reason, reply=reply)
        self.skip = skip
        self.ends_sequence = ends_sequence
        self.about_address = about_address


class UncertainError(DeliveryError):
    """The final dot was written and no reply came: the message may have been delivered."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of the input, as `campaign check` lists it."""

    #: The file with the problem.
    file: Path
    #: What is wrong and what to do, in one sentence.
    text: str
    #: The physical line, counted from 1; None if the problem is not in one line.
    line: int | None = None

    def __str__(self) -> str:
        """Return `file:line: text`, which editors turn into a link."""
        where = f"{self.file}:{self.line}" if self.line is not None else f"{self.file}"
        return f"{where}: {self.text}"


def first_error(group: BaseExceptionGroup[BaseException]) -> CampaignError | None:
    """Return the first `CampaignError` of those that ended a group of tasks; None if there is none."""
    for error in group.exceptions:
        found = first_error(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, CampaignError):
            return found
    return None
