"""Open a session at PostgreSQL, and check that a send log can be held there: `open_session`.

`notice_loss_within` says how soon a session whose server is silent counts as lost.
"""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager
from math import inf
from typing import TYPE_CHECKING, Any

import psycopg

from campaign.errors import SendLogUnusableError
from campaign.sendlog.postgres.connection import TCP_OPTIONS, PostgresConnection
from campaign.sendlog.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.config.postgres_url import PostgresUrl

# Of a connection that is lost psycopg warns, too: on stderr, unless somebody takes its warnings.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

#: The least version that has all that the statements use, as libpq writes it.
_OLDEST_SERVER = 14_00_00
#: Unless the URL says otherwise: without them a server that has gone is noticed after hours (libpq's parameters).
_DEFAULTS = {
    "application_name": "campaign",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
#: The loss of the server is noticed within this part of a worker's lease, and a new connection may take as long: a run
#: says what it waits for before its lease has run out. And libpq's least timeout of a connection (seconds).
_LEASE_TO_NOTICE, _LEAST_S = 1 / 3, 2.0
#: What psycopg could not do for a connection that is lost would be printed: the run says what it waits for.
logging.getLogger("psycopg").addHandler(logging.NullHandler())
#: How often a pooler is asked whose session a connection has.
_QUESTIONS = 3


def open_session(url: PostgresUrl, *, wait_s: int, lease_s: float = inf) -> PostgresConnection:
    """Return a connection, with the schema `campaign` in its search path.

    Args:
        url: the database.
        wait_s: how long a statement waits for a lock (seconds).
        lease_s: the lease of the worker whose session it is (seconds).

    Raises:
        SendLogUnusableError: the server is too old, the database is not one for all characters, or there is a pooler
            in between that gives each transaction another session.
        psycopg.Error: there is no session to be had.
    """
    session = _connect(url, lease_s)
    with closing_after_error(session):
        _refuse_unfit(url, session)
        process_id = _process_id(session)
        if process_id != session.info.backend_pid:  # a pooler tells numbers of its own
            _require_own_session(url, session)
        session.execute(SQL.begin_session)
        session.execute(SQL.set_wait, {"wait": f"{wait_s}s"})
    return PostgresConnection(session, process_id)


@contextmanager
def closing_after_error(session: psycopg.Connection[Any] | PostgresConnection) -> Iterator[None]:
    """Close a session if the block raises."""
    try:
        yield
    except BaseException:
        session.close()
        raise


def session_parameters(url: PostgresUrl, lease_s: float = inf) -> dict[str, Any]:
    """Return libpq's parameters for a session of this program, by keyword.

    Args:
        url: the database; its parameters win.
        lease_s: the lease of the worker whose session it is (seconds).
    """
    return {**_DEFAULTS, **_within(lease_s), **url.parameters, "client_encoding": "UTF8"}


def notice_loss_within(session: PostgresConnection, url: PostgresUrl, lease_s: float) -> None:
    """Take the server of an open session for lost when it was silent for a part of a lease.

    Args:
        session: the session.
        url: the database; its parameters win.
        lease_s: the lease of the worker whose session it is (seconds); infinite: it is no worker's.
    """
    parameters = session_parameters(url, lease_s)
    session.set_tcp_options({keyword: int(parameters[keyword]) for keyword in TCP_OPTIONS})


def _within(lease_s: float) -> dict[str, str]:
    """Return those of libpq's parameters that a lease makes shorter."""
    notice_s = max(_LEAST_S, lease_s * _LEASE_TO_NOTICE)
    longest = {
        "connect_timeout": notice_s,
        "tcp_user_timeout": notice_s * 1000,  # it ends a session that is probed, too, after any number of probes
        "keepalives_idle": notice_s / 2,
        "keepalives_interval": max(1, notice_s / 4),
    }
    return {keyword: str(int(min(float(_DEFAULTS[keyword]), value))) for keyword, value in longest.items()}


def _connect(url: PostgresUrl, lease_s: float = inf) -> psycopg.Connection[Any]:
    return psycopg.connect(autocommit=True, **session_parameters(url, lease_s))


def _refuse_unfit(url: PostgresUrl, session: psycopg.Connection[Any]) -> None:
    if session.info.server_version < _OLDEST_SERVER:
        version = session.info.parameter_status("server_version")
        raise SendLogUnusableError(
            f"the server of the send log {url} is PostgreSQL {version}; a send log needs version 14 or newer"
        )
    if (encoding := session.info.parameter_status("server_encoding")) != "UTF8":
        raise SendLogUnusableError(
            f"the database of the send log {url} has the encoding {encoding}, which does not have all characters; "
            "make one that has: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )


def _require_own_session(url: PostgresUrl, session: psycopg.Connection[Any]) -> None:
    """Refuse a pooler whose connections share a session: a run's lock would then be another's, too."""
    with closing(_connect(url)) as other:
        for _ in range(_QUESTIONS):
            if _process_id(session) == _process_id(other):
                raise SendLogUnusableError(
                    f"a pooler before the send log {url} gives each transaction another session, so that two runs "
                    "could have the log's lock, and everybody be mailed twice. Set CAMPAIGN_LOG to the server itself, "
                    "or let the pooler keep sessions (PgBouncer: pool_mode = session)"
                )


def _process_id(session: psycopg.Connection[Any]) -> int:
    """Return the process of the server that answers."""
    row = session.execute(SQL.process_id).fetchone()
    assert row is not None  # noqa: S101 - the statement always has one
    return int(row[0])
