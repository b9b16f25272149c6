"""Prepare what the report shows of who signed in after the mail: `came_back`, a funnel and its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from campaign.reporting.results import sentences
from campaign.results import count_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.config.definition import Definition
    from campaign.results import Results
    from campaign.results.counting import Arm
    from campaign.sendlog.aggregates import Aggregates

#: The last days that are shown.
_DAYS = 31
_WITHIN = {"week": "within a week", "day": "within a day", "hour": "within an hour"}


class Stage(NamedTuple):
    """A line of the funnel."""

    name: str
    #: The number, or its bounds.
    number: str
    #: The parts of the bar: look, name, number.
    parts: list[tuple[str, str, int]]
    #: As far as it is known; of those whom Clerk knows.
    share: tuple[int, int]
    #: The same of those held out; None if the line is not about them.
    held_out: tuple[int, int] | None


class CameBack(NamedTuple):
    """The section of the report."""

    asked: str
    mailed: int
    held_out: int
    stages: list[Stage]
    #: The steps, batches and days: a name, and its numbers as they are shown.
    lines: list[tuple[str, list[tuple[str, str]]]]
    compared: str
    notes: list[str]


def came_back(log: Aggregates, definition: Definition) -> CameBack | None:
    """Return who signed in since, as far as `campaign results` has asked; None if it never has, or nobody was mailed.

    Args:
        log: the campaign in its send log.
        definition: the campaign file.
    """
    if not (inquiries := log.inquiries()):
        return None
    results = count_results(definition, log.mailings(), log.held_out(), inquiries)
    if not results.everyone.number:
        return None
    notes = list(sentences.notes(results))
    if results.not_asked:
        notes.insert(0, f"{results.not_asked:,} of the messages were sent after that: ask again with campaign results.")
    if len(results.days) > _DAYS:
        notes.append(f"The last {_DAYS} of {len(results.days):,} days are shown.")
    return CameBack(
        sentences.asked_when(results),
        results.everyone.number,
        results.held_out.number,
        list(_stages(results)),
        [(name, _cells(arm)) for name, arm in _parts(results)],
        sentences.comparison(results),
        notes,
    )


def _stages(results: Results) -> Iterator[Stage]:
    arm, held = results.everyone, results.held_out
    yield Stage("mailed", f"{arm.number:,}", [("mail", "mailed", arm.number)], (arm.number, arm.number), None)
    arrived = arm.number - arm.bounced
    yield Stage("not returned", f"{arrived:,}", [("mail", "not returned", arrived)], (arrived, arm.number), None)
    beside = (held.signed_in, held.known) if held.number else None
    parts = [("clerk", "signed in since", arm.signed_in)]
    yield Stage("signed in since", f"{arm.signed_in:,}", parts, (arm.signed_in, arm.known), beside)
    for window, name in _WITHIN.items():
        low, high = arm.surely[window], arm.perhaps[window]
        parts = [("clerk", name, low), ("skipped", f"perhaps {name}", high - low)]
        beside = (held.surely[window], held.known) if held.number else None
        yield Stage(name, sentences.bounds(arm, window), parts, (low, arm.known), beside)


def _parts(results: Results) -> Iterator[tuple[str, Arm]]:
    """Yield the steps, batches and days, unless there is only one of a kind."""
    if len(results.steps) > 1:
        yield from ((f"step {name}", arm) for name, arm in results.steps.items())
    if len(results.batches) > 1:
        yield from ((f"batch {number}", arm) for number, (arm, _) in results.batches.items())
    if len(results.days) > 1:
        yield from ((f"{day:%Y-%m-%d} {results.zone.key}", arm) for day, arm in list(results.days.items())[-_DAYS:])


def _cells(arm: Arm) -> list[tuple[str, str]]:
    windows = [(name, sentences.bounds(arm, window)) for window, name in reversed(_WITHIN.items())]
    mailed, bounced, since = f"{arm.number:,}", f"{arm.bounced:,}", f"{arm.signed_in:,}"
    return [("mailed", mailed), ("bounced", bounced), *windows, ("signed in since", since)]
