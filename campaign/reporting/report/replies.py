"""Count what the servers replied, by code and by text, without personal data: `replies`."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.model import Status
from campaign.reporting.masking import masked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from campaign.sendlog.aggregates import Aggregates, Refusal

CLERK, MAIL_SERVER = "Clerk", "mail server"
#: How many different texts are kept, and how many are shown per code; a server can vary its text each time.
_MAX_KEPT, _MAX_SHOWN = 2000, 3
#: The number of codes in the table.
_MAX_CODES = 40


@dataclass(frozen=True, slots=True)
class ReplyFigures:
    """One reply code of one server."""

    server: str
    #: The SMTP reply code or HTTP status; 0 if there was no reply.
    code: int
    #: The enhanced status code (RFC 3463), or Clerk's error code; may be empty.
    enhanced: str
    #: The states that the recipients came to, each with its number.
    became: Mapping[Status, int]
    #: The most frequent texts, each with its number; 0 marks one example of many.
    words: tuple[tuple[str, int], ...]
    #: How many other different texts there were.
    other_words: int

    @property
    def number(self) -> int:
        """How often the server gave this reply."""
        return sum(self.became.values())


@dataclass(slots=True)
class _Group:
    became: Counter[Status] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    example: str = ""


def replies(log: Aggregates, *, with_clerk: bool) -> tuple[ReplyFigures, ...]:
    """Return the servers' replies: first the acceptances, then the refusals by number.

    Args:
        log: the campaign in its send log.
        with_clerk: whether the campaign calls Clerk before it starts a message.
    """
    groups: dict[tuple[str, int, str], _Group] = defaultdict(_Group)
    for taken in log.acceptances(limit=_MAX_CODES):
        group = groups[MAIL_SERVER, taken.code, taken.enhanced]
        group.became[Status.SENT] += taken.number
        group.example = masked(taken.words, taken.whose)
    _add(groups, log.refusals(), with_clerk=with_clerk)
    found = [_reply(key, group) for key, group in groups.items()]
    found.sort(key=lambda reply: (Status.SENT not in reply.became, -reply.number, reply.server, reply.code))
    return tuple(found[:_MAX_CODES])


def counted(words: Iterable[tuple[Status, str]]) -> dict[Status, Counter[str]]:
    """Return, for each state, how often each text occurred; texts beyond the limit count as `…`."""
    found: dict[Status, Counter[str]] = defaultdict(Counter)
    for state, text in words:
        counts = found[state]
        counts[text if text in counts or len(counts) < _MAX_KEPT else "…"] += 1
    return found


def _add(groups: dict[tuple[str, int, str], _Group], refusals: Iterable[Refusal], *, with_clerk: bool) -> None:
    kept = 0
    for refusal in refusals:
        at_clerk = with_clerk and (
            refusal.during is Status.QUEUED or (refusal.during is Status.ISSUING and not refusal.has_token)
        )
        key = (CLERK if at_clerk else MAIL_SERVER, refusal.code, refusal.enhanced)
        if key not in groups and len(groups) > _MAX_KEPT:
            key = (key[0], refusal.code, "…")
        group = groups[key]
        group.became[refusal.became] += 1
        words = masked(refusal.words, refusal.whose)
        if words not in group.words:
            words = words if kept < _MAX_KEPT else "…"
            kept += 1
        group.words[words] += 1


def _reply(key: tuple[str, int, str], group: _Group) -> ReplyFigures:
    example = ((group.example, 0),) if group.example else ()
    shown = (*example, *group.words.most_common(_MAX_SHOWN))
    return ReplyFigures(*key, group.became, shown, max(len(group.words) - _MAX_SHOWN, 0))
