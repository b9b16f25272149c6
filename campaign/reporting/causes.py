"""Group the reasons of many rows by their cause, for the closing table: `causes`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.reporting.masking import masked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from campaign.model import Status
    from campaign.sendlog import Explanation

#: At most this many causes are told apart; the rows of all others count together.
_MAX_CAUSES = 2000
#: At most this many rows of a cause are named.
MAX_NAMED = 3
#: A number, unless it is a reply code or an enhanced one (RFC 3463), which names the cause.
_NUMBER = re.compile(r"(?<![\w.])(?!(?:[245]\d\d|[245]\.\d{1,3}\.\d{1,3})(?![\w,.]*\d))\d+(?:[.,]\d+)*")
_AT_LINE = re.compile(r"line \d+: ", re.IGNORECASE)


@dataclass(slots=True)
class Cause:
    """Rows in one state for the same cause."""

    state: Status
    #: The reason; without addresses, keys and ids if the rows' reasons differ in them.
    words: str
    number: int = 0
    #: The first rows: each by its address, its key, or its line.
    named: list[str] = field(default_factory=list)


def causes(explanations: Iterable[Explanation]) -> list[Cause]:
    """Return the causes, the most frequent first.

    Two reasons have the same cause if they are equal without addresses, keys, ids and numbers.
    """
    found: dict[tuple[Status, str], Cause] = {}
    for state, reason, whose, line in explanations:
        words = masked(reason, whose)
        group = (state, _NUMBER.sub("0", words))
        if group in found or len(found) < _MAX_CAUSES:
            cause = found.setdefault(group, Cause(state, reason))
            if cause.words != reason:
                cause.words = words
        else:
            cause = found.setdefault((state, ""), Cause(state, "other reasons"))
        cause.number += 1
        if len(cause.named) < MAX_NAMED:
            at_line = _AT_LINE.match(reason) or not (whose.email or whose.key)
            name = f"line {line}" if at_line else whose.email or whose.key
            if name not in cause.named:  # each step of a recipient has a row
                cause.named.append(name)
    return sorted(found.values(), key=lambda cause: -cause.number)
