"""Read a send log from outside, by statements of our own that SQLite and PostgreSQL both know: `reading`, `look_up`."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager


#: A server that starts again is asked for this long, with a pause after each answer (seconds).
_PATIENCE_S, _PAUSE_S = 30.0, 0.1


class UnreadableLogError(Exception):
    """The log is not there yet, or cannot be read: the text is the library's."""


class _Reading:
    """A connection of either library; parameters are written `:name`."""

    def __init__(self, place: str) -> None:
        self._is_file = "://" not in place
        self._connection, self._errors = _file(place) if self._is_file else _database(place)

    def rows(self, statement: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Return the rows of a statement.

        Raises:
            UnreadableLogError: the log has no such table.
        """
        if not self._is_file:
            statement = re.sub(r"(?<!:):(\w+)", r"%(\1)s", statement)
        try:
            return list(self._connection.execute(statement, parameters).fetchall())
        except self._errors as error:
            raise UnreadableLogError(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def reading(place: str) -> AbstractContextManager[_Reading]:
    """Open a log for reading, a file or the URL of a database; it is closed after the block."""
    return closing(_Reading(place))


def look_up(place: str, statement: str, parameters: Mapping[str, object]) -> bool:
    """Return whether a statement has a row; the session with a server stays open, since opening one takes a while."""
    if "://" in place:
        return bool(_rows_of_server(place, statement, parameters))
    with reading(place) as log:
        return bool(log.rows(statement, parameters))


def _rows_of_server(place: str, statement: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
    """Return the rows of a statement, also if the server starts again meanwhile."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return _kept(place).rows(statement, parameters)
        except UnreadableLogError:
            if time.monotonic() > deadline:
                raise
            close_kept(place)
            time.sleep(_PAUSE_S)


def _kept(place: str) -> _Reading:
    with _opening:  # the mail server looks up from several threads
        if place not in _kept_open:
            _kept_open[place] = _Reading(place)
        return _kept_open[place]


def close_kept(place: str) -> None:
    """Close the session that `look_up` has kept open, if there is one."""
    if kept := _kept_open.pop(place, None):
        kept.close()


_kept_open: dict[str, _Reading] = {}
_opening = threading.Lock()


def _file(path: str) -> tuple[Any, type[Exception]]:
    try:
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5), sqlite3.Error
    except sqlite3.Error as error:
        raise UnreadableLogError(str(error)) from error


def _database(url: str) -> tuple[Any, type[Exception]]:
    import psycopg  # noqa: PLC0415 - only where there is such a log

    try:
        return psycopg.connect(url, autocommit=True, options="-c search_path=campaign"), psycopg.Error
    except psycopg.Error as error:
        raise UnreadableLogError(str(error)) from error
