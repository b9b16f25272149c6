"""Say of what a command shows that its send log is not used any more: `old_log_notice`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from campaign.delivery.services import log_path
from campaign.sendlog import LogReader, exists

if TYPE_CHECKING:
    from campaign.config.definition import Definition
    from campaign.config.settings import Settings


def old_log_notice(settings: Settings, definition: Definition | None, *, sandbox: bool) -> str | None:
    """Return a sentence for a command that reads a log which was moved to another place; None: it is used here.

    Args:
        settings: the settings.
        definition: the campaign file; None: the log is that of the current folder.
        sandbox: the command reads the sandbox's log, whatever the settings are.

    Raises:
        SendLogUnusableError: the log cannot be read.
    """
    place = log_path(settings, definition, asked=sandbox)
    if not exists(place):
        return None
    with closing(LogReader(place)) as reader:
        moved = reader.moved()
    return None if moved is None else f"What is shown is of then: {moved}."
