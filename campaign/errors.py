"""Every error of the program, named by the fate it means. Nothing here knows a library.

CampaignError                     str() is a sentence for the person at the terminal
├── CannotStartError              the run cannot start; nothing was sent              exit 2
│   ├── SettingsError             the environment
│   ├── DefinitionError           the campaign file
│   ├── RecipientsError           the CSV
│   ├── TemplateError             a template, or a row that it cannot render
│   └── SendLogUnusableError      the send log cannot be opened
├── LogHeldError                  another run holds this log                          exit 75
├── ServiceRefusesError           the service refuses us, nobody is to blame: stop    exit 3
├── SendLogError                  the log cannot be trusted any longer: stop          exit 1
└── DeliveryError                 what the pipeline's loop catches, one recipient's fate
    ├── TransientError                this recipient: later
    ├── PermanentError                this recipient: never
    └── UncertainError          this recipient: perhaps sent, nobody can know

The errors that stop a run stand outside `DeliveryError`, so that the loop cannot catch them by accident.
Every adapter turns its library's errors into these at its border.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from campaign.model import Receipt


class CampaignError(Exception):
    """An error whose text is a sentence that says what is wrong and what to do."""


class CannotStartError(CampaignError):
    """The run cannot start: input or settings are wrong. Nothing was sent."""


class SettingsError(CannotStartError):
    """A setting of the environment or of `.env` is missing or wrong."""


class DefinitionError(CannotStartError):
    """The campaign file is missing, malformed or asks for something impossible."""


class RecipientsError(CannotStartError):
    """The CSV as a whole cannot be trusted (a single bad row is skipped, not raised)."""


class TemplateError(CannotStartError):
    """A template is missing or malformed, or cannot be rendered for some row."""


class SendLogUnusableError(CannotStartError):
    """The send log cannot be opened: locked, newer, corrupt or not a send log. It is left as it is."""


class LogHeldError(CampaignError):
    """Another run holds this send log."""


class ServiceRefusesError(CampaignError):
    """Clerk or the mail server refuses us altogether (keys, authentication, TLS). No recipient is to blame."""


class SendLogError(CampaignError):
    """The send log cannot be written any longer: disk full, I/O error. Sending must stop."""


class Scope(StrEnum):
    """Who has to wait when something must be tried later."""

    #: This recipient alone (greylisting, mailbox full): it costs one of the row's attempts.
    RECIPIENT = "recipient"
    #: Every recipient of the same domain.
    DOMAIN = "domain"
    #: The mail server as a whole: no recipient is to blame, no attempt is used up.
    SERVER = "server"
    #: Clerk as a whole: the same.
    CLERK = "clerk"
    #: Nobody: the same can be done again at once.
    NONE = "nobody"


class DeliveryError(CampaignError):
    """One recipient's delivery did not succeed; `reply` holds the server's own words, if there were any."""

    def __init__(self, reason: str, *, reply: Receipt | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reply = reply


class TransientError(DeliveryError):
    """Nothing was sent and it may work later.

    Attributes:
        scope: who waits.
        wait: what the service itself asked for (`Retry-After`), or None: then the back-off decides.
        maybe_applied: what was asked for may be done, though the answer to it was lost or is of no use: a token may
            exist at Clerk whose id nobody knows, or may be revoked.
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


class PermanentError(DeliveryError):
    """Nothing was sent and it will not work later.

    Attributes:
        skip: the recipient is `skipped` (unknown or banned user, other address) and not `failed`.
    """

    def __init__(self, reason: str, *, skip: bool = False, reply: Receipt | None = None) -> None:
        super().__init__(reason, reply=reply)
        self.skip = skip


class UncertainError(DeliveryError):
    """The final dot was written and no reply came: the message may be in the inbox."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the input, as `campaign check` lists it."""

    #: The file it is in.
    file: Path
    #: What is wrong and what to do, one sentence.
    text: str
    #: The physical line, counted from 1, where one can be named.
    line: int | None = None

    def __str__(self) -> str:
        """Return `file:line: text`, the form that editors follow."""
        where = f"{self.file}:{self.line}" if self.line is not None else f"{self.file}"
        return f"{where}: {self.text}"


def first_error(group: BaseExceptionGroup[BaseException]) -> CampaignError | None:
    """Return the first `CampaignError` of those that ended a group of tasks; None if there is none."""
    for error in group.exceptions:
        found = first_error(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, CampaignError):
            return found
    return None
