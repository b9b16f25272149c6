"""Collect the flaws of all rendered messages: `ContentReview`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.compliance.finding import place_of, warning
from campaign.compliance.flaws import SUBJECT_WIDTH, flaws_of, width
from campaign.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from campaign.compliance.finding import Finding
    from campaign.compliance.flaws import Flaw
    from campaign.config.definition import Definition
    from campaign.message import Message

#: Bounds the memory where each row has addresses of its own.
_MAX_FLAWS = 200


@dataclass(slots=True)
class _AffectedRows:
    """The rows whose message has a flaw."""

    number: int
    #: The physical line of the first one.
    first: int


class ContentReview:
    """The messages of a campaign, as readers see them."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._rows = 0
        self._long_subjects = _AffectedRows(0, 0)
        self._widest = 0
        self._flaws: dict[Flaw, _AffectedRows] = {}
        #: The size of the largest message in bytes.
        self.largest = 0
        #: The links of the first message, with the token of a check.
        self.links: tuple[str, ...] = ()

    def note(self, line: int, message: Message) -> None:
        """Take in one row's message.

        Args:
            line: the row's line in the CSV.
            message: rendered with the token of a check.
        """
        if not self._rows:
            self.links = message.links
        self._rows += 1
        self.largest = max(self.largest, message.size)
        columns = width(message.subject)
        if columns > SUBJECT_WIDTH:
            self._widest = max(self._widest, columns)
            _count(self._long_subjects, line)
        for flaw in flaws_of(message.html, message.text):
            if flaw in self._flaws:
                _count(self._flaws[flaw], line)
            elif len(self._flaws) < _MAX_FLAWS:
                self._flaws[flaw] = _AffectedRows(1, line)

    def findings(self, files: Iterable[str]) -> list[Finding]:
        """Return the flaws, each once, with the number of rows that have it.

        Args:
            files: the template files, in which the places are looked for.
        """
        # link.url stands in the campaign file
        sources = {file: _text_of(Path(file)) for file in (*files, str(self._definition.path))}
        found = [
            warning(f"{flaw.text}{self._in_rows(rows)}", flaw.rule, flaw.advice, self._place(flaw, sources))
            for flaw, rows in sorted(self._flaws.items())
        ]
        if self._long_subjects.number:
            found.append(
                warning(
                    f"the subject has up to {self._widest} letters{self._in_rows(self._long_subjects)}; phones show 33"
                    f" (Gmail on Android) to {SUBJECT_WIDTH} (Apple Mail on an iPhone)",
                    "https://www.emailtooltester.com/en/blog/email-subject-lines-character-limit/",
                    "shorten it, or put what matters first",
                    place_of(self._definition, "email", "subject"),
                )
            )
        return found

    def _in_rows(self, rows: _AffectedRows) -> str:
        if rows.number == self._rows:
            return ""
        what = "1 row" if rows.number == 1 else f"{rows.number:,} rows, the first"
        return f" ({what} in line {rows.first} of {self._definition.recipients.file})"

    def _place(self, flaw: Flaw, sources: dict[str, str]) -> str:
        """Return the template's line that has the flaw; the HTML template if none matches, as with data of a row."""
        pattern = re.compile(flaw.pattern, re.IGNORECASE)
        for file, source in sources.items():
            if found := pattern.search(source):
                line = source.count("\n", 0, found.start()) + 1
                return str(Problem(Path(file), "", line)).removesuffix(": ")
        return str(self._definition.email.html)


def _count(rows: _AffectedRows, line: int) -> None:
    rows.number += 1
    rows.first = rows.first or line


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""
