"""The numbers of a campaign that is looked back at, from the send log. How they look is decided elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from campaign.model import Status
from campaign.reporting.report.latency import Latency
from campaign.reporting.report.limits import Limit, drawn, limits_of
from campaign.reporting.report.replies import Reply, replies
from campaign.reporting.report.timeline import Timeline, timeline
from campaign.reporting.report.tokens import Tokens, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaign.config.definition import Definition
    from campaign.model import Rate, Summary
    from campaign.sendlog.aggregates import Aggregates, Domain

#: A rate is drawn in slots that hold so many events at their limit, so that one more or less is no matter.
_EVENTS_PER_SLOT = 10
#: Domains in the table, by size and by trouble.
_LARGEST, _TROUBLED = 12, 6


class Activity(NamedTuple):
    """What was begun in the slots of the time line, by what became of it."""

    timeline: Timeline
    #: Messages at their final dot, by the state they came to, slot by slot.
    messages: Mapping[Status, Mapping[int, int]]
    #: Tokens asked for that came, and those that did not.
    tokens: Mapping[bool, Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class Figures:
    """All numbers of one report."""

    summary: Summary
    #: The CSV that was enlisted last; may be empty.
    source: str
    #: None: no run has done anything yet.
    activity: Activity | None
    #: From the call to the token.
    clerk: Latency
    #: From the intent in the log to the reply to the final dot.
    mail: Latency
    limits: tuple[Limit, ...]
    replies: tuple[Reply, ...]
    domains: tuple[Domain, ...]
    #: Of all domains, also those that are not among `domains`.
    domain_count: int
    #: Attempts → state → recipients.
    attempts: Mapping[int, Mapping[Status, int]]
    #: None: a campaign without a link.
    tokens: Tokens | None


@dataclass(slots=True)
class _Calls:
    """The calls of both services, added up."""

    messages: dict[Status, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    tokens: dict[bool, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    clerk: Latency = field(default_factory=Latency)
    mail: Latency = field(default_factory=Latency)


def figures(log: Aggregates, definition: Definition, token_rates: tuple[Rate, ...]) -> Figures:
    """Return the numbers of a campaign.

    Args:
        log: the campaign in its send log.
        definition: the campaign file, for the limits.
        token_rates: what Clerk allows; empty: no limit, or none that is known.
    """
    slowest = min((rate.per_second for rate in (*definition.limits.messages, *token_rates) if drawn(rate)), default=0)
    time = timeline(log.minutes(), finest=_EVENTS_PER_SLOT / slowest if slowest else 0.1)
    calls = _calls(log, time) if time else _Calls()
    attempts: dict[int, dict[Status, int]] = defaultdict(dict)
    for tries, state, number in log.attempts():
        attempts[tries][state] = number
    domains, domain_count = log.domains(largest=_LARGEST, troubled=_TROUBLED)
    summary = log.summary()
    return Figures(
        summary=summary,
        source=log.source,
        activity=Activity(time, calls.messages, calls.tokens) if time else None,
        clerk=calls.clerk,
        mail=calls.mail,
        limits=limits_of(log, definition, token_rates),
        replies=replies(log, with_clerk=definition.link is not None),
        domains=tuple(domains),
        domain_count=domain_count,
        attempts=attempts,
        tokens=tokens(log, summary, came=calls.clerk.number) if definition.link else None,
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
        # where no reply came the end is ours: a time-out, or a lost connection
        if call.seconds is not None and call.became is not Status.UNCERTAIN:
            latency.note(call.slot, call.seconds, call.number)
    return found
