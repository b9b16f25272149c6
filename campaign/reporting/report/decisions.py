"""List what the operator has to decide after a run, each with the command for it: `Decisions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.model import Status
from campaign.reporting.masking import masked
from campaign.reporting.report.replies import counted
from campaign.reporting.summary import number

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping

    from campaign.reporting.report.figures import Figures
    from campaign.sendlog.aggregates import Aggregates, Person

#: At most this many reasons are listed for each decision.
_MAX_REASONS = 8
#: At most this many rows are listed for each decision, if addresses may be shown.
PEOPLE = 200


@dataclass(frozen=True, slots=True)
class NextCommand:
    """A command for the operator to type."""

    does: str
    line: str


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that the operator has to decide or to know."""

    #: Its CSS class: `alarm`, or a state.
    look: str
    number: int
    #: Includes the number: `41 mails perhaps arrived`.
    title: str
    text: str
    commands: tuple[NextCommand, ...] = ()
    #: The most frequent reasons with their counts, and how many other reasons there are.
    reasons: tuple[tuple[str, int], ...] = ()
    other_reasons: int = 0
    #: The first `PEOPLE` rows; empty unless addresses may be shown.
    people: tuple[Person, ...] = ()


class Decisions:
    """The open decisions of one campaign.

    Args:
        log: the campaign in its send log.
        figures: its numbers.
        command: the campaign file and its options, as the operator types them.
        with_addresses: whether rows are listed.
    """

    def __init__(self, log: Aggregates, figures: Figures, *, command: str, with_addresses: bool) -> None:
        self._log = log
        self._summary = figures.summary
        self._with_links = figures.tokens is not None
        self._alarming = figures.tokens.alarming if figures.tokens else 0
        self._command = command
        self._run = NextCommand("Go on", f"campaign run {command}")
        self._with_addresses = with_addresses
        self._reasons: Mapping[Status, Counter[str]] = counted(
            (state, masked(reason, whose)) for state, reason, whose in log.explanations()
        )

    def open(self) -> tuple[Decision, ...]:
        """Return the open decisions, the most urgent first."""
        return tuple(decision for decision in self._all() if decision.number)

    def not_mailed(self) -> Decision | None:
        """Return the skipped rows and the reasons; None if no row was skipped."""
        skipped = self._summary[Status.SKIPPED]
        again = NextCommand(
            "Queue them again after you fix the cause", f"campaign retry {self._command} --state skipped"
        )
        return (
            self._of(
                Status.SKIPPED,
                skipped,
                f"{number(skipped, 'row')} skipped",
                "Nothing was sent to them. The next run sends to the rows that you fix in the CSV.",
                again,
            )
            if skipped
            else None
        )

    def _all(self) -> Iterator[Decision]:
        file, summary = self._command, self._summary
        yield Decision(
            "alarm",
            self._alarming,
            f"{number(self._alarming, 'link')} used that should not have been",
            "No message with these links arrived, but the links were already used at revocation: an unintended "
            "person may have signed in. Look at the sessions of these users in Clerk's dashboard.",
            people=tuple(self._log.people_signed_in(limit=PEOPLE)) if self._with_addresses else (),
        )
        perhaps, failed = summary[Status.UNCERTAIN], summary[Status.FAILED]
        yield self._of(
            Status.UNCERTAIN,
            perhaps,
            f"{number(perhaps, 'mail')} uncertain",
            "They may have been sent: the mail server's reply was lost, so it is not known whether they arrived.",
            NextCommand("Mark them as sent", f"campaign resolve {file} --keep"),
            NextCommand(
                "Or revoke their links and queue them again" if self._with_links else "Or queue them again",
                f"campaign resolve {file} --resend",
            ),
        )
        yield self._of(
            Status.FAILED,
            failed,
            f"{number(failed, 'mail')} failed",
            "Refused permanently, or no attempts left." + (" Their links are revoked." if self._with_links else ""),
            NextCommand("Queue them again after you fix the cause", f"campaign retry {file}"),
        )
        here, elsewhere = summary[Status.QUEUED] - summary.elsewhere, summary.elsewhere
        yield self._of(
            Status.QUEUED, here, f"{number(here, 'mail')} not sent yet", "They wait in the queue.", self._run
        )
        yield Decision(
            Status.QUEUED,
            elsewhere,
            f"{number(elsewhere, 'mail')} of an earlier CSV not sent yet",
            "The CSV that was read last does not contain them, so they stay in the queue.",
            (
                NextCommand("Go on with that CSV", f"campaign run {file} --recipients CSV"),
                NextCommand("Or send nothing to them", f"campaign skip {file} --missing"),
            ),
        )
        under_way = summary[Status.ISSUING] + summary[Status.SENDING]
        yield Decision(
            Status.SENDING,
            under_way,
            f"{number(under_way, 'mail')} under way",
            "A run is active, or was interrupted; the next run settles them.",
            (self._run,),
        )
        yield Decision(
            Status.QUEUED,
            summary.revocations,
            f"{number(summary.revocations, 'link')} not revoked yet",
            "Clerk has not confirmed this. Every run asks Clerk again before it ends.",
            (self._run,),
        )

    def _of(self, status: Status, count: int, title: str, text: str, *commands: NextCommand) -> Decision:
        """Return the decision about the rows in a state, with their reasons."""
        reasons = self._reasons.get(status)
        shown = tuple(reasons.most_common(_MAX_REASONS)) if reasons else ()
        others = len(reasons) - len(shown) if reasons else 0
        people = self._log.people(status, limit=PEOPLE) if self._with_addresses and count else []
        return Decision(status, count, title, text, commands, shown, others, tuple(people))
