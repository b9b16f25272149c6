"""Find what in the times of a campaign is allowed and seldom meant: `timing_warnings`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.config.definition.toml_file import line_of
from campaign.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.config.definition import Definition
    from campaign.config.definition.faults import Location
    from campaign.schedule import Schedule


def timing_warnings(definition: Definition) -> list[Problem]:
    """Return the warnings about due times, ends and rechecks, with their lines."""
    text = definition.path.read_text("utf-8-sig")
    return [Problem(definition.path, sentence, line_of(text, place)) for place, sentence in _warnings(definition)]


def _warnings(definition: Definition) -> Iterator[tuple[Location, str]]:
    for number, step in enumerate(definition.step_names):
        schedule = definition.variant(step).schedule
        if number:
            if sentence := _together(schedule, step, definition.step_names[number - 1]):
                yield ("steps", number, "due"), sentence
        elif schedule.due is not None and schedule.until is None:
            example = "" if schedule.due.is_fixed else f', such as until = "{schedule.due.name} + 3d"'
            sentence = f"due has no until: after an outage mails go out however late; write until{example}."
            yield definition.columns.get(schedule.due.name, ("schedule", "due")), sentence
    recheck = definition.recheck
    if recheck is not None and recheck.unless and len(definition.step_names) == 1:
        sentence = "[recheck] unless compares with the step before, and there is one step; remove it, or add [[steps]]."
        yield ("recheck", "unless"), sentence
    if recheck is not None and recheck.url is None and "timeout" in recheck.model_fields_set:
        yield ("recheck", "timeout"), "[recheck] timeout has no effect without url; add url, or remove it."


def _together(schedule: Schedule, step: str, before: str) -> str:
    """Return why a step may go out right after the one before it; empty if it keeps a distance."""
    if schedule.follows is None:
        return (
            f'due of the step "{step}" counts from no step: after an outage it may go out right after "{before}"; to '
            f'keep them apart, write due = "{before} + 1d".'
        )
    if schedule.due is not None and not schedule.due.delay:
        return (
            f'the step "{step}" goes out at once after "{before}"; if that is not what you mean, write due = '
            f'"{before} + 1d".'
        )
    return ""
