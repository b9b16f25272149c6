"""Say what happens in a watch, to the log, the metrics and the health: `CampaignEvents`, for one campaign each."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.delivery.observer import SilentObserver
from campaign.delivery.run_logging import LoggingObserver, safe
from campaign.errors import (
    DefinitionError,
    RecipientsError,
    SendLogError,
    SendLogUnusableError,
    ServiceRefusesError,
    TemplateError,
)
from campaign.watching.metrics import ErrorKind

if TYPE_CHECKING:
    from collections import Counter

    from campaign.delivery.observer import Observer
    from campaign.errors import CampaignError, NoRecipientsError
    from campaign.model import Delivery, Outcome, Status
    from campaign.watching.health import Health
    from campaign.watching.metrics import Metrics

LOG = logging.getLogger("campaign.watch")
LOG.addHandler(logging.NullHandler())


class About(StrEnum):
    """What a fault is about, and what must work again until it is over."""

    RECIPIENTS = "the reading of the recipients"
    SENDING = "the sending"
    LOG = "the send log"
    SERVICES = "what was waited for"
    VERSION = "the version of the campaign"


class CampaignEvents:
    """What happens to one campaign. A fault is said once, until it is over or is another one.

    Args:
        name: the campaign's.
        metrics: count it.
        health: knows which campaigns fail.
    """

    def __init__(self, name: str, metrics: Metrics, health: Health) -> None:
        self.name = name
        self._metrics = metrics
        self._health = health
        #: The faults that are not over, by what each is about.
        self._faults: dict[About, str] = {}
        self._is_empty = False
        self._refusal = ""

    def observer(self) -> Observer:
        """Return what a sending tells its outcomes, waits and pauses."""
        return LoggingObserver(_Counting(self.name, self._metrics), campaign=self.name)

    def loaded(self) -> None:
        """Say that the campaign file was read."""
        self._metrics.campaign_loaded(self.name)
        self._refusal = ""
        self.told("the campaign file is in use", event="loaded")

    def refused(self, error: CampaignError) -> None:
        """Say that a changed campaign file, or what belongs to it, is refused, and the one before stays in use."""
        self._metrics.campaign_refused(self.name)
        why = f"{_sentence(error)}; the campaign goes on as it was before this change"
        if why != self._refusal:
            self._refusal = why
            LOG.error("%s: %s", self.name, safe(why), extra=self._fields("refused"))

    def told(self, sentence: str, *, event: str = "told") -> None:
        """Say something that is no fault."""
        LOG.info("%s: %s", self.name, safe(sentence), extra=self._fields(event))

    def nobody(self, error: NoRecipientsError) -> None:
        """Say once that nobody is to be mailed so far."""
        if not self._is_empty:
            self._is_empty = True
            self.told(_sentence(error), event="nobody")

    def failed(self, error: CampaignError, *, about: About, then: str) -> None:
        """Say what is wrong and what is done about it.

        Args:
            error: what is wrong.
            about: what has to work again.
            then: the rest of the sentence, such as `it is tried again in 30 s`.
        """
        self._metrics.error(self.name, _kind(error))
        why = _sentence(error)
        self._health.failing(self.name, why)
        if why != self._faults.get(about):
            self._faults[about] = why
            fields = self._fields("failed") | {"error": type(error).__name__}
            LOG.error("%s: %s; %s", self.name, safe(why), safe(then), extra=fields)

    def works(self, about: About) -> None:
        """Note that something works, or works again."""
        if not self._faults.pop(about, ""):
            return
        self.told(f"{about} works again", event="works")
        if left := next(iter(self._faults.values()), ""):
            self._health.failing(self.name, left)
        else:
            self._health.works(self.name)

    def token_issued(self) -> None:
        """Count a token."""
        self._metrics.token_issued(self.name)

    def cycle_ended(self, tally: Counter[Status], *, at: float, next_at: float | None) -> None:
        """Say what was sent, and when the campaign goes on (seconds since the epoch); None: when something changes."""
        self._metrics.cycle_ended(self.name, at=at)
        if not tally:
            return
        counts = {str(status): number for status, number in sorted(tally.items())}
        told = ", ".join(f"{number} {status}" for status, number in counts.items())
        due = f"; it goes on at {instant(next_at):%Y-%m-%d %H:%M:%S UTC}" if next_at else "; nothing more is due"
        LOG.info("%s: %s%s", self.name, told, due, extra=self._fields("cycle") | {"counts": counts})

    def _fields(self, event: str) -> dict[str, object]:
        return {"event": event, "campaign": self.name}


class _Counting(SilentObserver):
    """Count each outcome."""

    def __init__(self, name: str, metrics: Metrics) -> None:
        self._name = name
        self._metrics = metrics

    def settled(self, delivery: Delivery, outcome: Outcome) -> None:
        """Count an outcome by its state."""
        del delivery
        self._metrics.settled(self._name, outcome.status)


def _sentence(error: CampaignError) -> str:
    """Return an error on one line, without the full stop at its end, and without the advice to run a command again."""
    return " ".join(str(error).split()).removesuffix(".").removesuffix(", then run the same command again")


def _kind(error: CampaignError) -> str:
    match error:
        case RecipientsError():
            return ErrorKind.RECIPIENTS
        case ServiceRefusesError():
            return ErrorKind.SERVICE
        case SendLogError() | SendLogUnusableError():
            return ErrorKind.LOG
        case DefinitionError() | TemplateError():
            return ErrorKind.DEFINITION
    return ErrorKind.OTHER
