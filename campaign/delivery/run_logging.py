"""Log a run through `logging` under `campaign.run`: `LoggingObserver`. No address, token or key is ever logged.

The start, waits, pauses and the end are at INFO and WARNING, each attempt at DEBUG with its row's number. Nothing is
shown unless the application, or `campaign run --verbose`, sets a handler.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from campaign.delivery.scheduler import NOTHING_DUE
from campaign.words import printable

if TYPE_CHECKING:
    from campaign.delivery.observer import Observer, Plan
    from campaign.delivery.services import Services
    from campaign.model import Delivery, Outcome
    from campaign.sendlog import Summary

LOG = logging.getLogger("campaign.run")
LOG.addHandler(logging.NullHandler())

#: A word with an `@`, also percent-encoded or quoted by a server, and a word that is long enough to be a token.
_PERSONAL = re.compile(r"\S*(?:@|%40)\S*|[A-Za-z0-9_\-+/.=%]{32,}")


def safe(text: str) -> str:
    """Return a sentence without addresses and tokens, which a server may quote in its replies."""
    return _PERSONAL.sub("…", printable(text))


class LoggingObserver:
    """Logs what happens in a run, and hands it on to the run's own observer.

    Args:
        observer: told everything, and asked before anything is sent.
        campaign: its name, which begins each line where several campaigns are sent side by side; empty: no name.
    """

    def __init__(self, observer: Observer, *, campaign: str = "") -> None:
        self._observer = observer
        self._named = f"{campaign}: " if campaign else ""
        self._fields: dict[str, object] = {"campaign": campaign} if campaign else {}

    def opened(self, services: Services) -> None:
        """Log which services the run uses."""
        where = "the sandbox" if services.maildir is not None else services.smtp.label
        LOG.info("using %s", where, extra={"event": "opened", "sandbox": services.maildir is not None})
        self._observer.opened(services)

    def confirm(self, plan: Plan) -> bool:
        """Log how many rows are queued, and whether the run goes on."""
        goes_on = self._observer.confirm(plan)
        name, rows = plan.definition.name, plan.to_send
        fields = {"event": "started" if goes_on else "declined", "campaign": name, "queued": rows}
        LOG.info("%s: %d rows queued%s", name, rows, "" if goes_on else "; not confirmed", extra=fields)
        return goes_on

    def settled(self, delivery: Delivery, outcome: Outcome) -> None:
        """Log an attempt's outcome by its row's number."""
        if LOG.isEnabledFor(logging.DEBUG):
            row, attempt, reason = delivery.recipient.line, delivery.attempts, safe(outcome.reason or "")
            fields: dict[str, object] = {
                **self._fields,
                "event": "settled",
                "row": row,
                "attempt": attempt,
                "state": str(outcome.status),
            }
            if outcome.reply is not None:
                fields["code"] = outcome.reply.code
            told = f": {reason}" if reason else ""
            LOG.debug("%srow %d: %s%s", self._named, row, outcome.status, told, extra=fields)
        self._observer.settled(delivery, outcome)

    def waiting(self, why: str, seconds: float) -> None:
        """Log why nothing is sent, and for how long."""
        # where several are sent side by side, one that has nothing to do is no news
        level = logging.DEBUG if self._named and why in NOTHING_DUE else logging.INFO
        fields = {**self._fields, "event": "waiting", "seconds": round(seconds, 3)}
        LOG.log(level, "%swaiting %.1f s: %s", self._named, seconds, safe(why), extra=fields)
        self._observer.waiting(why, seconds)

    def notice(self, sentence: str) -> None:
        """Log what the operator should know at once, such as a domain that is paused."""
        LOG.warning("%s%s", self._named, safe(sentence), extra={**self._fields, "event": "notice"})
        self._observer.notice(sentence)

    def stopping(self) -> None:
        """Log that a signal stops the run."""
        fields = {**self._fields, "event": "stopping"}
        LOG.warning("%sstopping: the deliveries under way are finished", self._named, extra=fields)
        self._observer.stopping()


def log_end(summary: Summary, *, interrupted: bool) -> None:
    """Log the counts with which a run ended."""
    counts = {str(state): number for state, number in summary.here.items()}
    told = ", ".join(f"{number} {state}" for state, number in counts.items())
    LOG.info("ended: %s", told, extra={"event": "ended", "interrupted": interrupted, "counts": counts})


def log_error(error: BaseException) -> None:
    """Log the error that ended a run."""
    LOG.error("%s: %s", type(error).__name__, safe(str(error)), extra={"event": "error", "error": type(error).__name__})
