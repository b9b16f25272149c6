"""Define the result of one rule: `Finding`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from campaign.config.definition.toml_file import line_of
from campaign.errors import Problem

if TYPE_CHECKING:
    from campaign.config.definition import Definition


class Severity(StrEnum):
    """What a finding means for the campaign; the value begins its line."""

    #: Providers refuse or junk such mail, or its links do not work.
    PROBLEM = "problem"
    #: Some readers or some providers are lost.
    WARNING = "warning"
    #: It could not be seen from here, so nothing is known.
    NOT_CHECKED = "not checked"
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found."""

    severity: Severity
    #: What was looked at and what was found, as a sentence without its full stop.
    text: str
    #: Where the rule stands, such as `RFC 7208 §4.6.4`.
    rule: str
    #: What to do, in the imperative; empty if nothing is to be done.
    advice: str = ""
    #: `file:line` or `file`; empty if the finding is about no file.
    place: str = ""

    def __str__(self) -> str:
        """Return the finding on one line: the place, what was found, what to do, and the rule in brackets."""
        place = f"{self.place}: " if self.place else ""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{place}{self.text}{advice} ({self.rule})"


def passed(text: str, rule: str) -> Finding:
    """Return a finding that says what was seen to be right."""
    return Finding(Severity.PASSED, text, rule)


def problem(text: str, rule: str, advice: str, place: str = "") -> Finding:
    """Return a problem with what to do about it."""
    return Finding(Severity.PROBLEM, text, rule, advice, place)


def warning(text: str, rule: str, advice: str, place: str = "") -> Finding:
    """Return a warning with what to do about it."""
    return Finding(Severity.WARNING, text, rule, advice, place)


def not_checked(text: str, rule: str, advice: str = "") -> Finding:
    """Return a finding that says what could not be seen, and why."""
    return Finding(Severity.NOT_CHECKED, text, rule, advice)


def place_of(definition: Definition, *key: str) -> str:
    """Return the place of a key in the campaign file, as `file:line`."""
    try:
        line = line_of(definition.path.read_text(encoding="utf-8-sig"), key)
    except (OSError, UnicodeDecodeError):
        line = None
    return str(Problem(definition.path, "", line)).removesuffix(": ")
