"""Decide who may be mailed now, `Eligibility`: due times, windows, the step before, who came back, who still stands.

A page of rows is reviewed when it is read from the log. Each row is judged again before its token is asked for, and
its time once more before the final dot, because minutes may lie between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from campaign.clock import instant
from campaign.delivery.come_back import ACTIVE_SINCE, LINK_USED
from campaign.errors import DeferredError, PermanentError, ScheduleError
from campaign.model import NEVER, Deferral, Outcome, Status, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence

    from campaign.clock import Clock
    from campaign.delivery.attempt import Attempt
    from campaign.delivery.come_back import ComeBack
    from campaign.delivery.ramp import Ramp
    from campaign.delivery.recheck import Recheck
    from campaign.model import Delivery, EarlierStep
    from campaign.schedule import Schedule
    from campaign.sendlog import RunLog

TOO_LATE, NO_LONGER_WANTED = "too late", "no longer wanted"
#: Why rows are skipped that a campaign is not meant to mail; all other skips are faults of its input.
_NO_FAULTS = (TOO_LATE, NO_LONGER_WANTED, LINK_USED, ACTIVE_SINCE, "held out", "skipped by hand")
#: Rows that are put off to the same instant keep their order by this many seconds: a float of today holds 0.24 µs.
_ORDER_STEP_S = 1e-6


@dataclass(frozen=True, slots=True)
class StepRules:
    """When a step may be sent, and to whom."""

    schedule: Schedule
    #: None: the site is not asked.
    recheck: Recheck | None
    #: What shows that a recipient came back; empty in the first step.
    unless: Collection[str]


class Eligibility:
    """The gate between the log and a delivery.

    Args:
        log: the queue, entered.
        clock: the time.
        rules: of each step, by its name, in their order.
        come_back: asks Clerk who came back; None if no step needs it.
        ramp: the campaign's daily quotas; None without them.
        on_skipped: told of each row that a review skips.
    """

    def __init__(
        self,
        log: RunLog,
        clock: Clock,
        rules: Mapping[str, StepRules],
        *,
        come_back: ComeBack | None,
        ramp: Ramp | None,
        on_skipped: Callable[[Delivery, Outcome], None],
    ) -> None:
        self._log = log
        self._clock = clock
        self._rules = rules
        self._come_back = come_back
        #: The campaign's daily quotas; None without them.
        self.ramp = ramp
        self._on_skipped = on_skipped
        self._put_off = 0

    async def review(self, page: Sequence[Delivery]) -> list[Delivery]:
        """Return the rows of a page that may be sent now; the log gets the others' next instant, or their reason."""
        later = [delivery.id for delivery in page if delivery.step_number]
        earlier = await self._log.earlier_steps(later) if later else {}
        eligible: list[Delivery] = []
        put_off: dict[int, Deferral] = {}
        skipped: dict[int, str] = {}
        for delivery in page:
            before = earlier.get(delivery.id, ())
            try:
                self._require_time(delivery, before)
                if recheck := self._rules[delivery.step].recheck:
                    recheck.raise_if_paused()
            except DeferredError as error:
                put_off[delivery.id] = self._deferral(error, self._due_at(delivery, before))
            except PermanentError as error:
                skipped[delivery.id] = error.reason
                self._on_skipped(delivery, Outcome(Status.SKIPPED, error.reason))
            else:
                eligible.append(delivery)
        if put_off:
            await self._log.put_off(put_off)
        if skipped:
            await self._log.skip(skipped, ends_sequence=True)
        return eligible

    def preparations(self, page: Sequence[Delivery]) -> list[Coroutine[Any, Any, None]]:
        """Return the calls that ask the site and Clerk about the rows of a page.

        Each must begin, as a task, before the deliveries of these rows: then no row asks for itself alone.
        """
        calls = []
        for recheck in {rules.recheck for rules in self._rules.values() if rules.recheck}:
            about = [delivery for delivery in page if self._rules[delivery.step].recheck is recheck]
            calls += [recheck.fetch(about)] if about else []
        if self._come_back and (back := [each for each in page if self._rules[each.step].unless]):
            calls.append(self._come_back.users.fetch([delivery.recipient for delivery in back]))
        return calls

    async def require(self, attempt: Attempt) -> None:
        """Judge an attempt before a token is asked for it, and give it the site's fresh variables.

        The site's answer is awaited before the link of the step before is revoked: while it is in doubt, the recipient
        keeps that link.

        Raises:
            DeferredError: not now.
            PermanentError: it is too late, the recipient came back, or the site does not want the mail any more.
            TransientError, ServiceRefusesError: Clerk did not answer.
        """
        delivery = attempt.delivery
        if delivery.step_number:
            attempt.earlier = (await self._log.earlier_steps([delivery.id])).get(delivery.id, ())
        self._require_time(delivery, attempt.earlier)
        rules = self._rules[delivery.step]
        fresh = await rules.recheck.variables_of(delivery) if rules.recheck else {}
        if self._come_back and attempt.earlier and delivery.replaced_token is None:
            await self._come_back.raise_if_back(attempt, attempt.earlier, rules.unless)
        if fresh is None:
            raise PermanentError(NO_LONGER_WANTED, skip=True, ends_sequence=True)
        if fresh:
            recipient = delivery.recipient._replace(variables={**delivery.recipient.variables, **fresh})
            attempt.delivery = delivery._replace(recipient=recipient)

    def raise_if_not_now(self, attempt: Attempt) -> None:
        """Raise DeferredError or PermanentError if an attempt's time is over, or the day's quota, before its dot."""
        self._require_time(attempt.delivery, attempt.earlier)
        if self.ramp and not attempt.intended:
            self.ramp.raise_if_spent()

    def intended(self) -> None:
        """Note that the intent to send a message is durable."""
        if self.ramp:
            self.ramp.sent()

    def _require_time(self, delivery: Delivery, earlier: Sequence[EarlierStep]) -> None:
        """Raise DeferredError if a row waits for its step before, its due time or window; PermanentError if late.

        A mail that its reader asked for is due at once. `renewal/permission.py` has checked its end.
        """
        if delivery.replaced_token is not None:
            return
        if delivery.step_number and (not earlier or earlier[-1].status is not Status.SENT):
            what = f"step {earlier[-1].step} is {earlier[-1].status}" if earlier else "the step before is not sent"
            raise DeferredError(what, until=NEVER, waiting=Waiting.STEP)
        schedule = self._rules[delivery.step].schedule
        now, variables, sent = self._clock.now(), delivery.recipient.variables, _sent(earlier)
        try:
            if schedule.until_at(variables, sent) < now:
                raise PermanentError(TOO_LATE, skip=True, ends_sequence=True)
            due = schedule.due_at(variables, sent)
            if due >= NEVER:
                raise DeferredError(f"it counts from step {schedule.follows}", until=NEVER, waiting=Waiting.STEP)
            opens = schedule.next_open(max(due, now), variables)
        except ScheduleError as error:
            raise PermanentError(f"line {delivery.recipient.line}: {error}", skip=True) from None
        if due > now:
            raise DeferredError(f"due {_shown(due)}", until=opens, waiting=Waiting.DUE)
        if opens > now:
            raise DeferredError(f"may be mailed from {_shown(opens)}", until=opens, waiting=Waiting.WINDOW)

    def _due_at(self, delivery: Delivery, earlier: Sequence[EarlierStep]) -> float:
        """Return when a row is due by its schedule; 0 if that is not known yet, or at once."""
        schedule = self._rules[delivery.step].schedule
        try:
            due = schedule.due_at(delivery.recipient.variables, _sent(earlier))
        except ScheduleError:
            return 0.0
        return due if due < NEVER else 0.0

    def _deferral(self, error: DeferredError, due_at: float) -> Deferral:
        self._put_off += 1
        until = error.until if error.until >= NEVER else error.until + self._put_off * _ORDER_STEP_S
        return Deferral(until, error.waiting, error.reason, due_at)


def is_no_fault(reason: str) -> bool:
    """Return whether a row was skipped for a reason that is no fault of the campaign's input."""
    return reason.startswith(_NO_FAULTS)


def _sent(earlier: Sequence[EarlierStep]) -> dict[str, float]:
    """Return when each earlier step was sent (seconds since the epoch)."""
    return {step.step: step.sent_at for step in earlier if step.sent_at is not None and step.status is Status.SENT}


def _shown(seconds: float) -> str:
    return instant(seconds).strftime("%Y-%m-%d %H:%M UTC")
