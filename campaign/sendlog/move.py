"""Move a send log to another place, between a file and PostgreSQL in both directions: `move_log`.

Each step is durable before the next one, so that a move that is killed leaves one log that may be used, or one command
to finish it:

1. The source notes that a move has begun. It may still be used, and a run may go on with it before the next try.
2. The target has all rows, compared with those of the source, and the note that it is an unfinished copy: it is not
   used. Nothing can write to the source meanwhile.
3. The source notes that it was moved: it is not used any more, by any version of the program.
4. The target notes that it is complete: it is used.

Rows that a killed run left in `issuing` or `sending` are copied as they are: the next run recovers them.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.errors import SendLogUnusableError
from campaign.sendlog.backends import contents_of, database_of, held
from campaign.sendlog.contents import TABLES, TablePair, UnfitRowError
from campaign.sendlog.move_errors import difference, taken, unfit
from campaign.sendlog.movement import Direction, Movement, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from campaign.sendlog.contents import LogContents
    from campaign.sendlog.database import LogDatabase, LogLocation
    from campaign.sendlog.movement import Movements

#: What holds both logs meanwhile, as others read it.
HOLDER = "campaign log move"


class Course(Enum):
    """What a move found, and so what it did."""

    #: The rows were copied.
    COPIED = auto()
    #: An earlier move had copied them; its last step was made.
    FINISHED = auto()
    #: An earlier move was complete: nothing was changed.
    DONE_BEFORE = auto()


@dataclass(frozen=True, slots=True)
class MoveResult:
    """What became of a move."""

    course: Course
    #: When the move was begun that this one is, or repeats (seconds since the epoch).
    at: float
    #: Every table, in both logs.
    tables: tuple[TablePair, ...]

    @property
    def is_same(self) -> bool:
        """Whether the two logs have the same rows; if not, the target has gone on since it was moved."""
        return all(pair.source == pair.target for pair in self.tables)


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two logs, which is held."""

    database: LogDatabase
    contents: LogContents

    @property
    def place(self) -> str:
        """Where it is, from any folder."""
        place = self.database.place
        return str(place.absolute() if isinstance(place, Path) else place)

    def transaction(self) -> AbstractContextManager[object]:
        """Commit what the block writes; nothing else writes meanwhile."""
        return self.database.transaction(self.contents.connection)


def move_log(source: LogLocation, target: LogLocation, *, now: float, say: Callable[[str], object]) -> MoveResult:
    """Copy every row of a log to another place, compare the two, and let the source be used no more.

    Args:
        source: the log.
        target: where it is to be: nothing, an empty log, or the log from which the source was moved here.
        now: the time (seconds since the epoch).
        say: told what is being done.

    Raises:
        SendLogUnusableError: there is no source; the target has other rows, or cannot hold a row; one of the two
            cannot be used.
        LogHeldError: a run uses one of the two.
        SendLogError: the rows differ after the copy; one of the two cannot be written.
    """
    if _is_same_place(source, target):
        raise SendLogUnusableError(
            f"{target} is the send log that CAMPAIGN_LOG names; name another place behind --to, or the old one in "
            "CAMPAIGN_LOG"
        )
    if not database_of(source).exists():
        raise SendLogUnusableError(
            f"the send log {source} does not exist; name its campaign file, `campaign log move FILE --to {target}`, "
            "or set CAMPAIGN_LOG to the log"
        )
    with ExitStack() as stack:
        here = stack.enter_context(held(source, by=HOLDER))
        with _about_option():
            there = stack.enter_context(held(target, by=HOLDER))
            is_new = not there.exists()
        undo = stack.enter_context(ExitStack())
        if is_new:
            undo.callback(there.discard)
        old = stack.enter_context(_opened(here))
        with _about_option():
            new = stack.enter_context(_opened(there))
        return _Move(old, new, say, keep=undo.pop_all).make(now)


@contextmanager
def _about_option() -> Iterator[None]:
    """Let an error of the block, which is about the target, name the option that named it."""
    try:
        yield
    except SendLogUnusableError as error:
        raise SendLogUnusableError(str(error).replace("CAMPAIGN_LOG", "--to")) from error


def _is_same_place(one: LogLocation, other: LogLocation) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))
    if isinstance(one, Path) or isinstance(other, Path):
        return False
    return all(one.parameters.get(name) == other.parameters.get(name) for name in ("host", "port", "dbname"))


@contextmanager
def _opened(database: LogDatabase) -> Iterator[_Side]:
    side = _Side(database, contents_of(database))
    with closing(side.contents.connection):
        yield side


class _Move:
    """A move from one log to another.

    Args:
        source: the log that has the rows.
        target: the log that is to have them.
        say: told what is being done.
        keep: called when the target must stay, even if it is a new file and the move does not come about: from then on
            another command that waits for it may write to it.
    """

    def __init__(
        self, source: _Side, target: _Side, say: Callable[[str], object], *, keep: Callable[[], object]
    ) -> None:
        self._source = source
        self._target = target
        self._say = say
        self._keep = keep

    def make(self, now: float) -> MoveResult:
        """Make the steps of the move that are left."""
        course, movement = self._plan(now)
        self._keep()
        if course is Course.COPIED:
            with self._source.transaction():
                self._source.contents.make_current()
                self._source.contents.note(Direction.OUT, replace(movement, place=self._target.place))
            self._say(f"Copying {self._source.place} to {self._target.place}; neither can be changed meanwhile")
            with self._source.transaction():
                tables = self._copy(movement)
                out = replace(movement, place=self._target.place, is_complete=True)
                self._source.contents.note(Direction.OUT, out)
        else:
            with self._source.transaction(), self._target.transaction():
                tables = self._compared()
        result = MoveResult(course, movement.at, tables)
        if course is Course.FINISHED and not result.is_same:
            raise difference(tables, self._source.database.place, self._target.database.place, was_copied=False)
        if course is not Course.DONE_BEFORE:
            with self._target.transaction():
                whence = replace(movement, place=self._source.place, is_complete=True)
                self._target.contents.note(Direction.IN, whence)
        return result

    def _plan(self, now: float) -> tuple[Course, Movement]:
        """Return what is to be done, and the move that it belongs to.

        Raises:
            SendLogUnusableError: the source is not in use, or the target is not free for its rows.
        """
        source, target = self._source, self._target
        with source.transaction():
            mine = source.contents.movements()
        with target.transaction():
            its = target.contents.movements()
            is_free = not target.contents.exists or target.contents.is_empty()
            campaigns = [] if is_free else target.contents.campaigns()
        went, came = mine.get(Direction.OUT), its.get(Direction.IN)
        is_this = went is not None and came is not None and went.id == came.id
        if went is not None and went.is_complete and is_this:
            return (Course.DONE_BEFORE if came and came.is_complete else Course.FINISHED), went
        if sentence := refusal(source.database.place, mine):
            raise SendLogUnusableError(f"{sentence}. Nothing was changed")
        if is_this and came is not None and not came.is_complete:
            return Course.COPIED, replace(came, at=now)  # it was killed before the source was marked
        if is_free or _is_way_back(mine, its):
            earlier = _moves_to(mine)
            return Course.COPIED, Movement(secrets.token_hex(16), "", now, is_complete=False, earlier=earlier)
        self._keep()  # another command was faster
        raise taken(target.database.place, its, campaigns)

    def _copy(self, movement: Movement) -> tuple[TablePair, ...]:
        """Let the target have the source's rows, as an unfinished copy; return the tables of both."""
        source, target = self._source.contents, self._target.contents
        with self._target.transaction():
            target.make_current()
            place, its = self._target.database.place, target.movements()
            if refusal(place, its) is None and not target.is_empty():  # another command was faster
                raise taken(place, its, target.campaigns())
            target.clear()
            for table in TABLES:
                columns = source.columns(table)
                try:
                    with closing(source.rows(table, columns)) as rows:
                        target.add(table, columns, rows)
                except UnfitRowError as error:
                    raise unfit(error, source, self._source.database.place, self._target.database.place) from error
            target.settle()
            tables = self._compared()
            if any(pair.source != pair.target for pair in tables):
                raise difference(tables, self._source.database.place, self._target.database.place, was_copied=True)
            target.note(Direction.IN, replace(movement, place=self._source.place, is_complete=False))
        return tables

    def _compared(self) -> tuple[TablePair, ...]:
        """Return the number and the digest of each table's rows, read from both logs."""
        source, target = self._source.contents, self._target.contents
        found = []
        for table in TABLES:
            columns = source.columns(table)
            found.append(TablePair(table, source.digest(table, columns), target.digest(table, columns)))
        return tuple(found)


def _is_way_back(mine: Movements, its: Movements) -> bool:
    """Return whether the source has the rows that the target had, and whatever came since: by one move, or several."""
    went = its.get(Direction.OUT)
    return went is not None and went.is_complete and went.id in _moves_to(mine)


def _moves_to(mine: Movements) -> tuple[str, ...]:
    """Return the ids of the moves by which the rows of a log came to it, oldest first."""
    came = mine.get(Direction.IN)
    return () if came is None else (*came.earlier, came.id)
