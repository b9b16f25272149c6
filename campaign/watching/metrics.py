"""Count what a watch does: `Metrics`. `endpoint.py` beside it serves the counts to Prometheus.

The numbers are plain, so that a watch without `--port` needs no further package. Labels have few values: the campaigns
of the command line, states, causes and kinds of errors; an address, a key or a token is never one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

from campaign.model import Status, Waiting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaign.sendlog import Summary


class ErrorKind(StrEnum):
    """What went wrong with a campaign that goes on afterwards."""

    #: The campaign file, a template or a setting is wrong.
    DEFINITION = "definition"
    #: The recipients cannot be read.
    RECIPIENTS = "recipients"
    #: Clerk or the mail server refuses all requests.
    SERVICE = "service"
    #: The send log cannot be written.
    LOG = "log"
    #: Anything else.
    OTHER = "other"


class MetricFamily(NamedTuple):
    """A metric, as Prometheus knows it."""

    #: With its unit at the end; a counter's ends in `_total`.
    name: str
    type: Literal["counter", "gauge"]
    #: The labels beside `campaign`.
    labels: tuple[str, ...]
    help: str


class SeriesKey(NamedTuple):
    """The place of one number: a metric, a campaign, and the values of the other labels."""

    metric: str
    campaign: str
    labels: tuple[str, ...] = ()


MESSAGES = MetricFamily(
    "campaign_messages_total",
    "counter",
    ("state",),
    "Attempts that ended, by the state in which they left the row; queued is one that is tried again.",
)
TOKENS = MetricFamily("campaign_tokens_total", "counter", (), "Sign-in tokens that Clerk issued.")
ROWS = MetricFamily("campaign_rows", "gauge", ("state",), "Rows of the send log, one for each recipient and step.")
WAITING = MetricFamily(
    "campaign_waiting",
    "gauge",
    ("cause",),
    "Queued rows that are not due, by what they wait for.",
)
LAST_CYCLE = MetricFamily(
    "campaign_last_cycle_timestamp_seconds",
    "gauge",
    (),
    "When the campaign last finished what was due, in seconds since the epoch.",
)
LOADED = MetricFamily(
    "campaign_file_loaded_total", "counter", (), "How often the campaign file was read and found right."
)
REFUSED = MetricFamily(
    "campaign_file_refused_total",
    "counter",
    (),
    "How often a changed campaign file was refused; the one before it stays in use.",
)
LOAD_SUCCESSFUL = MetricFamily(
    "campaign_file_last_load_successful",
    "gauge",
    (),
    "1 if the campaign file as it is now is in use, 0 if it was refused.",
)
ERRORS = MetricFamily("campaign_errors_total", "counter", ("kind",), "Errors that made the campaign wait, by kind.")

#: All metrics of a watch, in the order in which they are shown.
FAMILIES = (MESSAGES, TOKENS, ROWS, WAITING, LAST_CYCLE, LOADED, REFUSED, LOAD_SUCCESSFUL, ERRORS)

#: The states in which an attempt leaves its row.
_OUTCOMES = (Status.QUEUED, Status.SENT, Status.FAILED, Status.UNCERTAIN, Status.SKIPPED)


class Metrics:
    """The numbers of a watch, by campaign.

    The watch writes them in its event loop; `series` may be called from another thread.
    """

    def __init__(self) -> None:
        self._values: dict[SeriesKey, float] = {}

    def campaign_loaded(self, name: str) -> None:
        """Count that a campaign file was read and is in use now."""
        self._begin(name)
        self._add(SeriesKey(LOADED.name, name))
        self._values[SeriesKey(LOAD_SUCCESSFUL.name, name)] = 1

    def campaign_refused(self, name: str) -> None:
        """Count that a changed campaign file was refused, so that the one before it stays in use."""
        self._add(SeriesKey(REFUSED.name, name))
        self._values[SeriesKey(LOAD_SUCCESSFUL.name, name)] = 0

    def cycle_ended(self, name: str, *, at: float) -> None:
        """Record when a campaign last finished what was due (seconds since the epoch)."""
        self._values[SeriesKey(LAST_CYCLE.name, name)] = at

    def settled(self, name: str, status: Status) -> None:
        """Count an attempt by the state in which it left the row."""
        self._add(SeriesKey(MESSAGES.name, name, (status.value,)))

    def token_issued(self, name: str) -> None:
        """Count a sign-in token."""
        self._add(SeriesKey(TOKENS.name, name))

    def waiting(self, name: str, summary: Summary) -> None:
        """Record how many rows are in each state, and what the queued ones wait for."""
        rows = {SeriesKey(ROWS.name, name, (status.value,)): float(summary[status]) for status in Status}
        causes = {
            SeriesKey(WAITING.name, name, (cause.value,)): float(summary.waiting.get(cause, 0))
            for cause in Waiting
            if cause is not Waiting.NOTHING
        }
        self._values.update(rows | causes)

    def error(self, name: str, kind: str) -> None:
        """Count an error after which the campaign waits; a kind that `ErrorKind` does not know is `other`."""
        known = kind if kind in set(ErrorKind) else ErrorKind.OTHER
        self._add(SeriesKey(ERRORS.name, name, (str(known),)))

    def series(self) -> Mapping[SeriesKey, float]:
        """Return a copy of all numbers, from any thread."""
        return self._values.copy()

    def _add(self, series: SeriesKey) -> None:
        self._values[series] = self._values.get(series, 0) + 1

    def _begin(self, name: str) -> None:
        """Let each counter of a campaign begin at 0, so that its first increase can be seen (`rate`, `increase`)."""
        for counter in (TOKENS, LOADED, REFUSED):
            self._values.setdefault(SeriesKey(counter.name, name), 0)
        for status in _OUTCOMES:
            self._values.setdefault(SeriesKey(MESSAGES.name, name, (status.value,)), 0)
        for kind in ErrorKind:
            self._values.setdefault(SeriesKey(ERRORS.name, name, (kind.value,)), 0)
