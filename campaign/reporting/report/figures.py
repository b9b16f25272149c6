"""Read the numbers of a campaign's report from the send log: `figures`."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from campaign.delivery.services import needs_clerk
from campaign.model import Status
from campaign.reporting.report.latency import LatencyFigures
from campaign.reporting.report.limits import DrawnLimit, drawn, limits_of
from campaign.reporting.report.replies import ReplyFigures, replies
from campaign.reporting.report.timeline import Timeline, timeline
from campaign.reporting.report.tokens import TokenFigures, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaign.config.definition import Definition
    from campaign.model import Rate
    from campaign.sendlog import BatchCounts, Summary
    from campaign.sendlog.aggregates import Aggregates, Answers, Domain

#: Slots are wide enough for this many events at the limit, so that one event more or less hardly shows.
_EVENTS_PER_SLOT = 10
#: The number of domains in the table: the largest, and those with the most trouble.
_LARGEST, _TROUBLED = 12, 6
#: The number of batches in the table.
_BATCHES = 30
#: The number of domains in the table of what came back.
_ANSWERING = 12


class Activity(NamedTuple):
    """The messages and tokens that were started in each slot of the time line, by outcome."""

    timeline: Timeline
    #: Messages whose data was sent, by the state that followed: state → slot → number.
    messages: Mapping[Status, Mapping[int, int]]
    #: Token requests, by whether a token came: True or False → slot → number.
    tokens: Mapping[bool, Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class Figures:
    """All numbers of one report."""

    summary: Summary
    #: The CSV that was enlisted last; may be empty.
    source: str
    #: None if no run has done anything yet.
    activity: Activity | None
    #: From the API call to the token.
    clerk: LatencyFigures
    #: From the intent in the log to the reply to the message data.
    mail: LatencyFigures
    limits: tuple[DrawnLimit, ...]
    replies: tuple[ReplyFigures, ...]
    domains: tuple[Domain, ...]
    #: The number of all domains, including those that are not in `domains`.
    domain_count: int
    #: What came back: the domains with most of it, the sum over all domains, and the number of domains.
    answers: tuple[Answers, ...]
    all_answers: Answers
    answering: int
    #: Number of attempts → state → recipients.
    attempts: Mapping[int, Mapping[Status, int]]
    #: None if the campaign has no link.
    tokens: TokenFigures | None
    #: The last batches, oldest first.
    batches: tuple[BatchCounts, ...] = ()


@dataclass(slots=True)
class _Calls:
    """The calls to Clerk and to the mail server, added up."""

    messages: dict[Status, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    tokens: dict[bool, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    clerk: LatencyFigures = field(default_factory=LatencyFigures)
    mail: LatencyFigures = field(default_factory=LatencyFigures)


def figures(log: Aggregates, definition: Definition, token_rates: tuple[Rate, ...]) -> Figures:
    """Return the numbers of a campaign.

    Args:
        log: the campaign in its send log.
        definition: the campaign file, for the limits.
        token_rates: Clerk's rate limits; empty if there are none, or none is known.
    """
    slowest = min((rate.per_second for rate in (*definition.limits.messages, *token_rates) if drawn(rate)), default=0)
    time = timeline(log.minutes(), finest=_EVENTS_PER_SLOT / slowest if slowest else 0.1)
    calls = _calls(log, time) if time else _Calls()
    attempts: dict[int, dict[Status, int]] = defaultdict(dict)
    for tries, state, number in log.attempts():
        attempts[tries][state] = number
    domains, domain_count = log.domains(largest=_LARGEST, troubled=_TROUBLED)
    answers, all_answers, answering = log.answers(limit=_ANSWERING)
    summary = log.summary()
    return Figures(
        summary=summary,
        source=log.source,
        activity=Activity(time, calls.messages, calls.tokens) if time else None,
        clerk=calls.clerk,
        mail=calls.mail,
        limits=limits_of(log, definition, token_rates),
        replies=replies(log, with_clerk=needs_clerk(definition)),
        domains=tuple(domains),
        domain_count=domain_count,
        answers=tuple(answers),
        all_answers=all_answers,
        answering=answering,
        attempts=attempts,
        tokens=tokens(log, summary, came=calls.clerk.number) if needs_clerk(definition) else None,
        batches=tuple(log.batches(limit=_BATCHES)),
    )


def _calls(log: Aggregates, time: Timeline) -> _Calls:
    found = _Calls()
    for call in log.calls(origin=time.origin, width=time.width):
        if call.during is Status.ISSUING:
            found.tokens[call.seconds is not None][call.slot] += call.number
            latency = found.clerk
        else:
            found.messages[call.became][call.slot] += call.number
            latency = found.mail
        # Without a reply, the call ended by a time-out or a lost connection: its duration is not a latency.
        if call.seconds is not None and call.became is not Status.UNCERTAIN:
            latency.note(call.slot, call.seconds, call.number)
    return found
