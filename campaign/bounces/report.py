"""What one mail of a bounce mailbox reports, and for which recipient: `Report`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from campaign.config.address import normalise_address


class Kind(StrEnum):
    """What a mail in the bounce mailbox means for the recipient."""

    #: Returned, and the address does not exist or is disabled (5.1.x, 5.2.1): suppress it for all lists.
    HARD = "hard"
    #: Returned for another reason that lies with the recipient or the way there (5.2.2, 4.x, no status).
    SOFT = "soft"
    #: Refused because of the sender or the message (5.6.x, 5.7.x): suppress no address.
    REJECTED = "rejected"
    #: The recipient marked the message as abuse (RFC 5965): suppress the address for all lists.
    COMPLAINT = "complaint"
    #: The server is still trying (RFC 3464 §2.3.3, `delayed`).
    DELAYED = "delayed"
    #: Delivered, relayed or expanded (RFC 3464 §2.3.3).
    DELIVERED = "delivered"
    #: A report that needs no action: read receipt, "not spam", authentication results.
    NOTICE = "notice"
    #: A vacation notice or another automatic reply (RFC 3834).
    AUTO_REPLY = "auto-reply"
    #: Any other mail, such as a person's reply or an advertisement.
    NOT_A_REPORT = "not a report"
    #: A mail server sent it, and its format is not known.
    NOT_UNDERSTOOD = "not understood"


#: From the mildest consequence to the most severe. Where parts of a report disagree, the mildest one counts.
_SEVERITY = (
    Kind.NOTICE,
    Kind.DELIVERED,
    Kind.DELAYED,
    Kind.NOT_UNDERSTOOD,
    Kind.REJECTED,
    Kind.SOFT,
    Kind.HARD,
    Kind.COMPLAINT,
)


def mildest(*kinds: Kind) -> Kind:
    """Return the kind with the mildest consequence for the recipient; `SOFT` if there is none."""
    return min(kinds, key=_SEVERITY.index, default=Kind.SOFT)


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """What a report says about one of its recipients."""

    kind: Kind
    #: The address as the sender wrote it (RFC 3464 §2.3.1), and after forwarding (§2.3.2); empty if not given.
    original: str = ""
    final: str = ""
    #: The reply code (RFC 5321 §4.2); 0 if not given.
    code: int = 0
    #: The status code (RFC 3463), such as `5.1.1`; empty if not given.
    status: str = ""
    #: The server's words: at most 200 printable characters, without links and tokens.
    words: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One mail of the bounce mailbox. Its body is not kept: it may contain a sign-in link."""

    #: For a report about several recipients that of the one who fared best.
    kind: Kind
    #: What may be a bounce tag, in lower case; only a tag that verifies shows which message the report is about. Who
    #: knows a true one can forge a report, so `repr` leaves it out.
    tags: tuple[str, ...] = field(default=(), repr=False)
    #: The recipients that the report names, with what happened to each.
    recipients: tuple[RecipientReport, ...] = ()

    @property
    def recipient(self) -> str:
        """The address that the report is about, as the sender wrote it; empty if it names none or several."""
        return (self.recipients[0].original or self.recipients[0].final) if len(self.recipients) == 1 else ""

    @property
    def code(self) -> int:
        """The reply code that explains the kind; 0 if not given."""
        return self._decisive.code

    @property
    def status(self) -> str:
        """The status code (RFC 3463) that explains the kind; empty if not given."""
        return self._decisive.status

    @property
    def words(self) -> str:
        """The server's words that explain the kind."""
        return self._decisive.words

    @property
    def _decisive(self) -> RecipientReport:
        return next((one for one in self.recipients if one.kind is self.kind), RecipientReport(self.kind))

    def about(self, address: str) -> Report:
        """Return the part of a report that names this address; the whole report if no part does.

        A message of a campaign has one recipient. A report about several comes from a server that expanded an alias or
        a list, or is about a message that this program did not send.
        """
        wanted = normal_form(address)
        own = tuple(one for one in self.recipients if wanted in {normal_form(one.original), normal_form(one.final)})
        if not own or len(own) == len(self.recipients):
            return self
        return replace(self, kind=mildest(*(one.kind for one in own)), recipients=own)


def normal_form(address: str) -> str:
    """Return an address in the form in which two are compared: without case, the domain in A-labels."""
    try:
        return normalise_address(address).casefold()
    except ValueError:
        return address.casefold()
