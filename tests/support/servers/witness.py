"""Look into the sender's log, in a file or in PostgreSQL, from outside: `was_seen`."""

from __future__ import annotations

import sqlite3
import time

#: A server that is starting again is asked for this long (seconds).
_PATIENCE_S = 30.0
_PAUSE_S = 0.1


class WitnessError(Exception):
    """The log cannot be read."""


def was_seen(place: str, statement: str, **values: str) -> bool:
    """Return whether a statement finds a row.

    Args:
        place: a file, or a database's URL.
        statement: with parameters as `:name` for SQLite, as `%(name)s` for PostgreSQL.
        values: the parameters.

    Raises:
        WitnessError: the log cannot be read.
    """
    if place.startswith("postgresql://"):
        return _was_seen_in_postgres(place, statement, values)
    try:
        log = sqlite3.connect(f"file:{place}?mode=ro", uri=True, timeout=5)
        try:
            return log.execute(statement, values).fetchone() is not None
        finally:
            log.close()
    except sqlite3.Error as error:
        raise WitnessError(str(error)) from error


def _was_seen_in_postgres(url: str, statement: str, values: dict[str, str]) -> bool:
    import psycopg  # noqa: PLC0415 - the other tests of this server do without

    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with psycopg.connect(url, options="-c search_path=campaign", connect_timeout=5) as log:
                return log.execute(statement, values).fetchone() is not None
        except psycopg.Error as error:
            if time.monotonic() > deadline:
                raise WitnessError(str(error)) from error
            time.sleep(_PAUSE_S)
