"""Find who is still to be mailed: `waiting_people` compares the CSV with the send log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.audience import Audience
from campaign.delivery.services import needs_user_id
from campaign.errors import ScheduleError
from campaign.model import NEVER, InvalidRow, Status
from campaign.planning.simulation import QueuedPerson
from campaign.recipients import read_recipients

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from campaign.config.definition import Definition
    from campaign.model import Recipient
    from campaign.planning.simulation import StepModel
    from campaign.planning.tally import Tally
    from campaign.sendlog import Progress, QueueReader

#: What is said of a row whose step is in such a state: it needs a decision or ended otherwise.
_HELD = {
    Status.ISSUING: "under way",
    Status.SENDING: "under way",
    Status.FAILED: "failed",
    Status.UNCERTAIN: "uncertain",
    Status.BOUNCED: "bounced",
    Status.SKIPPED: "skipped",
}


@dataclass(slots=True)
class WaitingPerson:
    """A recipient's next step."""

    person: QueuedPerson
    step: int
    #: Seconds since the epoch; 0 is at once.
    due_at: float
    position: float
    #: A batch must take the row up first.
    in_no_batch: bool


@dataclass(slots=True)
class CsvCounts:
    """What the rows of the CSV are."""

    recipients: int = 0
    #: Why rows are left out of the plan, in the order in which it was found, and how many.
    left_out: Counter[str] = field(default_factory=Counter)


def waiting_people(
    definition: Definition,
    steps: Mapping[tuple[int, str], StepModel],
    log: QueueReader | None,
    *,
    counts: CsvCounts,
    tally: Tally,
) -> Iterator[WaitingPerson]:
    """Yield each recipient of the CSV who has not had all steps, with the next one.

    Args:
        definition: the campaign file.
        steps: by number and locale.
        log: the campaign's log; None if there is none yet.
        counts: is told what the rows are.
        tally: is told of rows that cannot be mailed.

    Raises:
        RecipientsError, TemplateError: the CSV or `where` cannot be read.
        SendLogUnusableError: the log cannot be read.
    """
    known = _known(definition, log)
    suppressed = log.suppressed(definition.mailing_list) if log else frozenset[str]()
    columns = {column for step in steps.values() for column in step.schedule.columns}
    names = definition.step_names
    seen: set[str] = set()
    section, audience = definition.recipients, Audience(definition)
    rows = read_recipients(section.file, section, needs_user_id=needs_user_id(definition))
    for row in audience.select(rows):
        if isinstance(row, InvalidRow):
            tally.invalid.add(row.line, why=row.reason)
            continue
        if row.key in seen:
            counts.left_out["a row with the same key comes first"] += 1
            continue
        seen.add(row.key)
        counts.recipients += 1
        if row.email.lower() in suppressed:
            counts.left_out["suppressed"] += 1
            continue
        person = _person(row, definition, columns)
        progress = known.get(row.key, {})
        step, reason = _next_step(person, names, progress)
        if reason:
            counts.left_out[reason] += 1
            continue
        model = steps[step, person.locale]
        mine = progress.get(names[step])
        try:
            due = model.schedule.due_at(person.variables, person.sent)
            if model.schedule.until:
                model.schedule.until_at(person.variables, person.sent)
        except ScheduleError as error:
            tally.invalid.add(row.line, why=str(error))
            continue
        if mine is not None and mine.not_before < NEVER:
            due = max(due, mine.not_before)
        in_no_batch = step == 0 and (mine is None or mine.batch is None)
        yield WaitingPerson(person, step, due, row.position, in_no_batch)
    if audience.outside:
        counts.left_out["outside `where`"] = audience.outside


def _known(definition: Definition, log: QueueReader | None) -> dict[str, dict[str, Progress]]:
    found: dict[str, dict[str, Progress]] = {}
    for progress in log.progress(definition.name) if log else ():
        found.setdefault(progress.key, {})[progress.step] = progress
    return found


def _person(row: Recipient, definition: Definition, columns: set[str]) -> QueuedPerson:
    return QueuedPerson(
        line=row.line,
        domain=row.domain,
        locale=definition.locale_of(row.variables),
        variables={name: row.variables[name] for name in columns if name in row.variables},
        address=row.email.lower() if definition.limits.per_recipient else "",
    )


def _next_step(person: QueuedPerson, names: tuple[str, ...], progress: Mapping[str, Progress]) -> tuple[int, str]:
    """Return the number of the step that comes next, or why there is none; note when earlier ones were sent."""
    for number, name in enumerate(names):
        found = progress.get(name)
        if found is None or found.state is Status.QUEUED:
            return number, ""
        if found.state is not Status.SENT:
            return number, _HELD[found.state]
        if found.sent_at is not None:
            person.sent[name] = found.sent_at
    return len(names), "sent already"
