"""Warn of classic accidents in templates and values, which are no errors: `MessageWarnings`.

`in_templates.py` reads the templates as they were written, `in_rows.py` the values and the message of each row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.message.row_groups import RowGroups
from campaign.message.warnings.column_use import ColumnUse
from campaign.message.warnings.in_rows import RowAccidents
from campaign.message.warnings.in_templates import accidents_in
from campaign.message.warnings.link_paths import LinkPaths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.message import Message, MessageTemplate
    from campaign.model import Recipient

__all__ = ["MessageWarnings"]


class MessageWarnings:
    """Collects the warnings about a campaign's messages.

    Args:
        template: the campaign's templates.
        file: the CSV.
    """

    def __init__(self, template: MessageTemplate, file: Path) -> None:
        use = ColumnUse(template.parts)
        self._accidents = RowAccidents(use)
        self._rows = RowGroups(file)
        self._of_templates = [line for part in template.parts for line in accidents_in(part)] + use.comparisons
        self._paths = LinkPaths(template.parts)

    def examine(self, row: Recipient, message: Message) -> None:
        """Look at one row and its message."""
        for text in self._accidents.of(row.variables, message):
            self._rows.add(text, row.line)
        self._paths.add(message.made_links)

    def lines(self) -> Iterator[str]:
        """Yield a sentence for each accident: with the template's line, or the number of rows and the first lines."""
        yield from self._of_templates
        yield from self._rows.lines()

    @property
    def paths(self) -> str:
        """Where the links lead that `link_to` makes from columns, as a sentence; empty if there is none."""
        return self._paths.sentence()
