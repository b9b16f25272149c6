"""Simulate the send queue of a campaign, row by row and without a clock: `SimulatedQueue`.

Rows wait in lanes: one for each step, locale, time zone and limited domain, so that a closed window or a spent domain
holds a whole lane back at once. The rates are the windows that a run keeps (`delivery/window.py`).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from campaign.errors import ScheduleError
from campaign.planning.link_life import closes_at, life_needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from zoneinfo import ZoneInfo

    from campaign.delivery.window import Window
    from campaign.planning.quotas import DailyRamp, RecipientCap
    from campaign.planning.tally import Tally
    from campaign.schedule import Schedule


@dataclass(frozen=True, slots=True)
class StepModel:
    """A step in one locale."""

    name: str
    schedule: Schedule
    #: The life of its link in seconds; None without a link.
    link_life: float | None


@dataclass(frozen=True, slots=True)
class CampaignModel:
    """What the simulation keeps to."""

    #: By the step's number and the locale.
    steps: Mapping[tuple[int, str], StepModel]
    #: The rates of all messages, and of the tokens that they carry, with what was spent of them.
    rates: Sequence[Window] = ()
    #: Those of recipient domains.
    domains: Mapping[str, Sequence[Window]] = field(default_factory=dict)
    ramp: DailyRamp | None = None
    cap: RecipientCap | None = None


@dataclass(slots=True)
class QueuedPerson:
    """A recipient, with what the schedule needs of the row."""

    #: Of the CSV.
    line: int
    domain: str
    locale: str
    #: The columns that the schedules name.
    variables: Mapping[str, Any]
    #: The address in lower case; empty if nothing counts by address.
    address: str = ""
    #: When each step was sent, by its name.
    sent: dict[str, float] = field(default_factory=dict)


class _Lane:
    """Rows that one window, zone and domain limit holds back together."""

    __slots__ = ("closing", "domain", "model", "number", "open_minute", "rows", "step", "version", "zone")

    def __init__(
        self, number: int, step: int, model: StepModel, zone: ZoneInfo | None, domain: Sequence[Window]
    ) -> None:
        self.number = number
        self.step = step
        self.model = model
        self.zone = zone
        self.domain = domain
        #: [not before, rank, person], the next one first.
        self.rows: list[tuple[float, int, QueuedPerson]] = []
        #: Goes up with each change; an older entry in the queue of lanes is void.
        self.version = 0
        #: The last minute (since the epoch) that was found open: hours begin and end on full minutes.
        self.open_minute = -1
        #: When the window closes after the last message (seconds since the epoch); None: not in a week.
        self.closing: float | None = 0.0

    def next_open(self, at: float) -> float:
        """Return the first instant from `at` on within the window."""
        window = self.model.schedule.window
        if window is None or self.zone is None or int(at // 60) == self.open_minute:
            return at
        opening = window.next_open(at, self.zone)
        if opening == at:
            self.open_minute = int(at // 60)
        return opening

    def link_life_needed(self, at: float) -> float:
        """Return the life that the link of a mail at an instant would need; 0 if its life is long enough."""
        window, life = self.model.schedule.window, self.model.link_life
        if window is None or self.zone is None or life is None:
            return 0.0
        if self.closing is not None and at >= self.closing:
            self.closing = closes_at(window, at, self.zone)
        return life_needed(window, at, life, self.zone, closing=self.closing)


class SimulatedQueue:
    """The rows that wait, and the instants at which they go out.

    Args:
        model: the campaign.
        tally: is told what happens.
        start: when the first run begins (seconds since the epoch).
    """

    def __init__(self, model: CampaignModel, tally: Tally, *, start: float) -> None:
        self._model = model
        self._tally = tally
        self._start = self._now = start
        self._lanes: dict[tuple[int, str, str, str], _Lane] = {}
        #: (ready at, rank of the first row, lane's number, lane's version, lane)
        self._ready: list[tuple[float, int, int, int, _Lane]] = []

    def add(self, person: QueuedPerson, step: int, *, not_before: float, rank: int) -> None:
        """Add a row.

        Args:
            person: whose.
            step: the step's number.
            not_before: when it is due (seconds since the epoch).
            rank: decides between rows that are due at the same instant; the smaller goes first.
        """
        model = self._model.steps[step, person.locale]
        zone = None
        if model.schedule.window is not None:
            try:
                zone = model.schedule.zone_of(person.variables)
            except ScheduleError as error:
                self._tally.invalid.add(person.line, why=str(error))
                return
        limited = person.domain if person.domain in self._model.domains else ""
        key = (step, person.locale, zone.key if zone else "", limited)
        lane = self._lanes.get(key)
        if lane is None:
            windows = self._model.domains.get(limited, ())
            lane = self._lanes[key] = _Lane(len(self._lanes), step, model, zone, windows)
        heapq.heappush(lane.rows, (not_before, rank, person))
        if lane.rows[0][2] is person:
            self._queue(lane)

    def run(self, *, until: float) -> None:
        """Send row after row up to an instant (seconds since the epoch); what is added later is not sent before it."""
        while (found := self._next(until)) is not None:
            self._try(*found)
        self._now = max(self._now, until)

    def _next(self, until: float) -> tuple[_Lane, float] | None:
        """Take the next lane out of the queue, with the instant of its turn; None if that is after `until`."""
        while self._ready:
            ready_at, _, _, version, lane = self._ready[0]
            if version == lane.version:
                at = max(self._now, ready_at)
                if at > until or (at := self._permit_at(at)) > until:
                    return None
                heapq.heappop(self._ready)
                return lane, at
            heapq.heappop(self._ready)
        return None

    def __len__(self) -> int:
        """Return the number of rows that wait."""
        return sum(len(lane.rows) for lane in self._lanes.values())

    def _try(self, lane: _Lane, at: float) -> None:
        """Send a lane's first row at an instant, or find out until when it waits."""
        _, rank, person = lane.rows[0]
        schedule = lane.model.schedule
        ends = inf if schedule.until is None else self._until(schedule, person)
        if at > ends:
            heapq.heappop(lane.rows)
            (self._tally.stale if ends < self._start else self._tally.too_late).add(person.line, at=at)
            self._queue(lane)
        elif (opening := lane.next_open(at)) > at:
            self._queue(lane, opening)
        elif (permit_at := max([window.next_permit_at(at) for window in lane.domain], default=at)) > at:
            self._queue(lane, permit_at)
        elif self._model.cap and (allowed_at := self._model.cap.next_at(person.address, at)) > at:
            heapq.heapreplace(lane.rows, (allowed_at, rank, person))
            self._queue(lane)
        else:
            heapq.heappop(lane.rows)
            self._send(lane, person, rank, at)
            self._queue(lane)

    def _send(self, lane: _Lane, person: QueuedPerson, rank: int, at: float) -> None:
        self._now = at
        for window in (*self._model.rates, *lane.domain):
            window.take(at)
        if self._model.ramp:
            self._model.ramp.take(at)
        if self._model.cap:
            self._model.cap.take(person.address, at)
        self._tally.send(at, lane.step, person.line)
        if needed := lane.link_life_needed(at):
            self._tally.short_links.add(person.line, at=at)
            self._tally.needed_life = max(self._tally.needed_life, needed)
        following = self._model.steps.get((lane.step + 1, person.locale))
        if following is not None:
            person.sent[lane.model.name] = at
            try:
                due = following.schedule.due_at(person.variables, person.sent)
            except ScheduleError as error:
                self._tally.invalid.add(person.line, why=str(error))
                return
            self.add(person, lane.step + 1, not_before=max(due, at), rank=rank)

    def _permit_at(self, at: float) -> float:
        """Return the first instant from `at` on at which the rates and the ramp allow a message."""
        for window in self._model.rates:
            at = max(at, window.next_permit_at(at))
        return self._model.ramp.next_at(at) if self._model.ramp else at

    def _until(self, schedule: Schedule, person: QueuedPerson) -> float:
        try:
            return schedule.until_at(person.variables, person.sent)
        except ScheduleError:  # a due time of another column could be read, this cannot: `add` has been passed
            return inf

    def _queue(self, lane: _Lane, ready_at: float = 0.0) -> None:
        """Put a lane into the queue of lanes, as its first row asks for, or from an instant on."""
        lane.version += 1
        if lane.rows:
            not_before, rank, _ = lane.rows[0]
            heapq.heappush(self._ready, (max(not_before, ready_at), rank, lane.number, lane.version, lane))
