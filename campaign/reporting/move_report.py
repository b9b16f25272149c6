"""Say what became of a move of the send log, with the rows and the digest of each table: `move_lines`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from campaign.clock import instant
from campaign.reporting.progress import as_text
from campaign.reporting.summary import number
from campaign.sendlog.move import Course

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.sendlog import LogLocation
    from campaign.sendlog.move import MoveResult

#: How many digits of a digest are shown.
_DIGITS = 12


def move_lines(result: MoveResult, source: LogLocation, target: LogLocation) -> Iterator[str]:
    """Yield what became of the move, the tables that have rows, and what to do next."""
    when = f"{instant(result.at):%Y-%m-%d at %H:%M} UTC"
    if result.is_same:
        yield as_text(_table(result))
    if result.course is not Course.DONE_BEFORE:
        finished = "" if result.course is Course.COPIED else f", the move of {when} is finished"
        yield f"{source} is now in {target}{finished}: both have the same rows, compared table by table."
        yield (
            f"Set CAMPAIGN_LOG to the new place, in the environment or in .env, wherever commands use {source}, which "
            "takes no changes any more; start `campaign serve` again."
        )
    elif result.is_same:
        yield f"{target} has the same rows already: {source} was moved there on {when}. Nothing was changed."
    else:
        yield (
            f"{source} was moved to {target} on {when}, and has gone on there since. Nothing was changed; "
            "set CAMPAIGN_LOG to the new place, if that is not done."
        )


def _table(result: MoveResult) -> Table:
    table = Table("table", box=None, pad_edge=False)
    table.add_column("rows", justify="right")
    table.add_column("digest")
    for name, source, _ in result.tables:
        if source.rows:
            table.add_row(name, f"{source.rows:,}", source.digest[:_DIGITS])
    empty = sum(not source.rows for _, source, _ in result.tables)
    if empty:
        table.add_row(number(empty, "empty table"), "", "")
    return table
