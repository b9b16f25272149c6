"""Work out who would be mailed when, with nothing sent and nobody asked: `forecast`."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from campaign.delivery.services import clerk_rates, clock_of, log_path
from campaign.delivery.waitlist import written_down
from campaign.delivery.window import Window
from campaign.model import Status
from campaign.planning.quotas import DailyRamp, RecipientCap, run_of
from campaign.planning.recipients import CsvCounts, waiting_people
from campaign.planning.simulation import CampaignModel, SimulatedQueue, StepModel
from campaign.planning.tally import SLOT_S, Tally
from campaign.sendlog import QueueReader, exists

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.model import Rate

#: A simulation ends after this many days; what is left is counted.
_LONGEST = timedelta(days=3660)


class PlannedHour(NamedTuple):
    """The messages of one hour."""

    #: Its beginning, in the plan's zone.
    start: datetime
    #: The messages of each step.
    steps: tuple[int, ...]

    @property
    def messages(self) -> int:
        """The messages of all steps."""
        return sum(self.steps)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Who would be mailed when, at most: every step before is taken as sent, and nobody as having come back."""

    definition: Definition
    #: When the first run begins (seconds since the epoch).
    start: float
    #: Of the hours; None: this machine's.
    zone: ZoneInfo | None
    csv: CsvCounts
    #: The hours with messages, in their order.
    hours: Sequence[PlannedHour]
    tally: Tally
    #: The token rates that were assumed, because the campaign file has none; empty if none were.
    assumed_token_rates: Sequence[Rate] = ()

    @property
    def messages(self) -> int:
        """How many messages go out."""
        return sum(hour.messages for hour in self.hours)

    @property
    def depends_on_time(self) -> bool:
        """Whether mails become due by themselves, beside the first run."""
        definition = self.definition
        schedules = [
            definition.variant(step, locale).schedule
            for step in definition.step_names
            for locale in definition.locale_names
        ]
        return len(definition.step_names) > 1 or any(each.due or each.window for each in schedules)

    def local(self, seconds: float) -> datetime:
        """Return an instant in the plan's zone."""
        return local_time(seconds, self.zone)


def local_time(seconds: float, zone: ZoneInfo | None) -> datetime:
    """Return an instant (seconds since the epoch) in a zone, or in the machine's."""
    return datetime.fromtimestamp(seconds, UTC).astimezone(zone)


def forecast(definition: Definition, settings: Settings, *, sandbox: bool, at: float | None = None) -> Forecast:
    """Return who would be mailed when, if the campaign ran from now on.

    It reads the CSV and, if there is one, the send log. It asks neither Clerk nor a mail server nor the site.

    Args:
        definition: the campaign file.
        settings: the settings, for the log's place and the kind of Clerk's key.
        sandbox: read the sandbox's log, whatever the settings are.
        at: when the first run begins (seconds since the epoch); None: now.

    Raises:
        RecipientsError: the CSV cannot be read.
        SendLogUnusableError: the log cannot be read.
    """
    path = log_path(settings, definition, asked=sandbox)
    definition = written_down(definition, settings, asked=sandbox, sample=False)
    start, tally, csv = clock_of(settings, path).now() if at is None else at, Tally(), CsvCounts()
    with closing(QueueReader(path)) if exists(path) else nullcontext() as log:
        assumed = () if definition.link is None or definition.limits.tokens is not None else clerk_rates(settings)
        model = _model(definition, log, start=start, token_rates=assumed)
        people = waiting_people(definition, model.steps, log, counts=csv, tally=tally)
        queue = SimulatedQueue(model, tally, start=start)
        zone = definition.schedule.default_zone
        unbatched = []
        for rank, each in enumerate(people, start=1):
            if definition.recipients.batch and each.in_no_batch:
                unbatched.append(each)
            else:
                queue.add(each.person, each.step, not_before=max(each.due_at, 0.0), rank=rank)
    horizon = start + _LONGEST.total_seconds()
    unbatched.sort(key=lambda each: each.position)
    size = definition.recipients.batch or 1
    for first in range(0, len(unbatched), size):
        at = run_of(first // size, start, zone)
        if at > horizon:
            break
        queue.run(until=at)
        for number, each in enumerate(unbatched[first : first + size], start=first):
            # before everything that became due meanwhile, as `take_batch` has it
            queue.add(each.person, each.step, not_before=max(each.due_at, float(number)), rank=number)
    queue.run(until=horizon)
    tally.beyond = len(queue)
    return Forecast(definition, start, zone, csv, _hours(tally, len(definition.step_names), zone), tally, assumed)


def _model(
    definition: Definition, log: QueueReader | None, *, start: float, token_rates: Sequence[Rate]
) -> CampaignModel:
    limits = definition.limits
    steps = {}
    for number, step in enumerate(definition.step_names):
        for locale in definition.locale_names:
            variant = definition.variant(step, locale)
            life = variant.link.expires_in.total_seconds() if variant.link else None
            steps[number, locale] = StepModel(step, variant.schedule, life)
    tokens = (limits.tokens or token_rates) if definition.link else ()
    return CampaignModel(
        steps,
        rates=[
            *_windows(limits.messages, log, Status.SENDING, start=start),
            *_windows(tokens, log, Status.ISSUING, start=start),
        ],
        domains={
            domain: _windows(rates, log, Status.SENDING, start=start, domain=domain)
            for domain, rates in limits.domains.items()
        },
        ramp=_ramp(definition, log, start=start),
        cap=RecipientCap(limits.per_recipient) if limits.per_recipient else None,
    )


def _windows(
    rates: Sequence[Rate], log: QueueReader | None, status: Status, *, start: float, domain: str | None = None
) -> list[Window]:
    """Return the windows of rates, with what the log spent of them lately."""
    windows = [Window(rate) for rate in rates]
    for at, number in log.spent(status, rates, now=start, domain=domain) if log else ():
        for window in windows:
            window.take(min(at, start), number)
    return windows


def _ramp(definition: Definition, log: QueueReader | None, *, start: float) -> DailyRamp | None:
    if not definition.limits.ramp:
        return None
    zone = definition.schedule.default_zone or ZoneInfo("UTC")
    days: Counter[str] = Counter()
    for at, number in log.sent_by_quarter() if log else ():
        days[local_time(at, zone).date().isoformat()] += number
    today = local_time(start, zone).date().isoformat()
    return DailyRamp(
        definition.limits.ramp,
        zone,
        days=sum(1 for day in days if day < today),
        spent=sum(number for day, number in days.items() if day >= today),
    )


def _hours(tally: Tally, steps: int, zone: ZoneInfo | None) -> list[PlannedHour]:
    """Add the slots of a tally up to hours of a zone."""
    found: dict[float, list[int]] = {}
    for (slot, step), number in sorted(tally.sent.items()):
        at = slot * SLOT_S
        hour = at - local_time(at, zone).minute * 60
        found.setdefault(hour, [0] * steps)[step] += number
    return [PlannedHour(local_time(at, zone), tuple(numbers)) for at, numbers in found.items()]
