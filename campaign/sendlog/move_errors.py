"""The sentences of a move that cannot be made: `taken`, `unfit`, `difference`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from campaign.errors import SendLogError, SendLogUnusableError
from campaign.sendlog.movement import Direction, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from campaign.sendlog.contents import LogContents, TablePair, UnfitRowError
    from campaign.sendlog.database import LogLocation
    from campaign.sendlog.movement import Movements

#: How many digits of a digest tell two apart.
_DIGITS = 12


def taken(log: LogLocation, its: Movements, campaigns: Sequence[str]) -> SendLogUnusableError:
    """Return why the target is not free, and what to do.

    Args:
        log: the target.
        its: the notes of its moves.
        campaigns: those that it has.
    """
    came, went = its.get(Direction.IN), its.get(Direction.OUT)
    sentence = refusal(log, its) if came is not None and not came.is_complete else None
    if went is not None and went.is_complete:
        has = f"was moved to {went.place}, and the rows that you move did not come from it"
    elif campaigns:
        has = f"has the campaign {', '.join(map(repr, campaigns))} already, which this move did not bring"
    else:
        has = "has suppressed addresses or other rows already, which this move did not bring"
    instead = f"the send log {log} {has}; name another place behind --to, such as an empty database"
    return SendLogUnusableError(f"{sentence or instead}. Nothing was changed")


def unfit(
    error: UnfitRowError, contents: LogContents, source: LogLocation, target: LogLocation
) -> SendLogUnusableError:
    """Return which row of the source the target cannot hold, and why."""
    row = contents.described(error.table, error.number)
    program = "sqlite3" if isinstance(source, Path) else "psql"
    return SendLogUnusableError(
        f"{target} cannot hold {row} of {source}: {error.why}. Nothing was changed. Correct the row in {source}, with "
        f"{program}, then run the same command again"
    )


def difference(
    tables: Iterable[TablePair], source: LogLocation, target: LogLocation, *, was_copied: bool
) -> SendLogError:
    """Return which table differs first.

    Args:
        tables: those of both logs, of which one differs.
        source: the one log.
        target: the other log.
        was_copied: just now, and taken back; False: by an earlier move.
    """
    pair = next(pair for pair in tables if pair.source != pair.target)
    here, there = (
        f"{each.rows:,} rows with the digest {each.digest[:_DIGITS]} in {place}"
        for each, place in ((pair.source, source), (pair.target, target))
    )
    return SendLogError(
        f"the table {pair.name} has {here}, and {there}, "
        + (
            "after the copy, which was taken back; nothing was changed. Look for triggers or rules that change rows "
            "there, then run the same command again"
            if was_copied
            else "since the move that was not finished; restore one of the two from a backup"
        )
    )
