"""What an error of PostgreSQL means for the operator: `opening` and `changing` return errors, `reason_of` its words.

They quote the server's first line only: the lines after it may hold a row's data or the statement.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors

from campaign.errors import LogUnreachableError, SendLogError, SendLogUnusableError
from campaign.sendlog.movement import guarded, is_guard_text
from campaign.words import printable

if TYPE_CHECKING:
    from campaign.config.postgres_url import PostgresUrl

#: What libpq says before there is a session, each with what to do. It gives no code for these.
_WHILE_CONNECTING = (
    (r"password retrieved from file", "check the user in CAMPAIGN_LOG, and its line in the file with the password"),
    (r"password authentication failed", "check user and password in CAMPAIGN_LOG"),
    (
        r"no password supplied",
        "put it into CAMPAIGN_LOG or PGPASSWORD, or into a file with mode 0600: ?passfile=, PGPASSFILE or ~/.pgpass",
    ),
    (r'role ".*" does not exist', "check the user in CAMPAIGN_LOG, or make it: CREATE ROLE … LOGIN PASSWORD …"),
    (r'database ".*" does not exist', "check the database in CAMPAIGN_LOG, or make it: createdb NAME"),
    (r"permission denied for database", "have an administrator type: GRANT CONNECT ON DATABASE … TO …"),
    (r"no pg_hba.conf entry", "let the server's pg_hba.conf admit this user from this machine"),
    (
        r"does not support SSL",
        "turn TLS on there or, in a network of your own, add ?sslmode=disable to CAMPAIGN_LOG: it sends in clear text",
    ),
    (
        r"root certificate file",
        "name the certificate of the server's CA in CAMPAIGN_LOG: ?sslrootcert=FILE, or =system for this machine's",
    ),
    (r"certificate verify failed", "name the certificate of the server's own CA in CAMPAIGN_LOG: ?sslrootcert=FILE"),
    (r"does not match host name", "name the server in CAMPAIGN_LOG by the name in its certificate"),
    (r"certificate|SSL", "check sslmode and sslrootcert in CAMPAIGN_LOG, and the server's certificate"),
    (r"resolve|host name|getaddrinfo", "check the host in CAMPAIGN_LOG"),
    (r"could not write|No space left", "free disk space there, or look at its log for what is wrong with its disk"),
    (r"invalid|unrecognized|bad value", "check the parameters after the ? in CAMPAIGN_LOG"),
)
#: What a server says that ends a session, or does not begin one, and may be back soon.
_AWAY = (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, errors.IdleSessionTimeout)
#: What to do about what may be otherwise soon, by the words of the server or of libpq.
_FOR_NOW = (
    (
        r"starting up|shutting down|recovery|terminating",
        "wait until the server is ready, then run the same command again",
    ),
    (
        r"too many (clients|connections)|connection slots",
        "end other sessions, or raise the limit there: max_connections, or that of the database or the user",
    ),
    (r"", "start the server, or check host and port in CAMPAIGN_LOG"),
)
#: What the log cannot be used for, by the server's error: what is wrong with it, and what to do.
_WHILE_OPEN = (
    (
        (errors.InsufficientPrivilege,),
        "does not let this user work with it",
        "name another user in CAMPAIGN_LOG, or have an administrator grant what deploy/postgres-roles.sql grants",
    ),
    ((errors.ReadOnlySqlTransaction,), "can only be read there", "name the primary server in CAMPAIGN_LOG"),
    (
        (errors.DuplicateTable, errors.DuplicateObject, errors.DuplicateFunction),
        "has another program's tables in its schema campaign, and was not changed",
        "name another database in CAMPAIGN_LOG",
    ),
    ((errors.LockNotAvailable,), "is locked by another session", "try again when that has ended"),
    ((errors.UndefinedTable, errors.UndefinedColumn), "is damaged", "restore it from a backup"),
    ((errors.DiskFull,), "has no room left on its server", "free disk space there"),
)

#: What libpq says of a connection that was lost before a pipeline began.
_NO_PIPELINE = "failed to enter pipeline mode"


class LostCommitsError(psycopg.OperationalError):
    """The server lacks transactions that were committed: it was an asynchronous standby, or is an older copy."""


def lost_commits(log: PostgresUrl) -> str:
    """Return the sentence with which a run ends whose log lacks what was committed."""
    return (
        f"the send log {log} lacks changes that were committed: a standby without synchronous replication became its "
        "server, or an older copy. Nothing more was sent, since mails that went out wait there to be sent. Look in "
        "the mail server's log who was mailed since, and take them off the queue with `campaign skip FILE --key KEY`, "
        "then run the same command again"
    )


def reason_of(error: Exception) -> str:
    """Return what went wrong, on one line, in the server's or libpq's words."""
    told = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    # if a host has several addresses, libpq's answer about the last one comes last; advice of its own may follow
    lines = [line for line in (told or str(error)).splitlines() if not re.match(r"\s|DETAIL:", line)]
    answers = [line for line in lines if re.search(r"(failed|is bad): ", line)] or lines or [type(error).__name__]
    line = re.sub(r"^(- )?.*?connection (failed|is bad): |^(consuming input|sending query) failed: ", "", answers[-1])
    if line == _NO_PIPELINE:
        return "the connection was lost"
    return printable(line).rstrip(". ")


def opening(log: PostgresUrl, error: Exception) -> SendLogUnusableError:
    """Return what an error means when the log is connected to, opened or read."""
    if isinstance(error, LostCommitsError):
        return SendLogUnusableError(lost_commits(log))
    for kinds, what, hint in _WHILE_OPEN:
        if isinstance(error, kinds):
            return SendLogUnusableError(f"the send log {log} {what} ({reason_of(error)}); {hint}")
    kind, hint = SendLogUnusableError, "look at the server, then run the same command again"
    is_away = isinstance(error, _AWAY)
    if isinstance(error, psycopg.Error) and error.sqlstate is None:
        hint = next((hint for said, hint in _WHILE_CONNECTING if re.search(said, str(error))), "")
        is_away = not hint
    if is_away:
        kind, hint = LogUnreachableError, next(hint for said, hint in _FOR_NOW if re.search(said, str(error)))
    return kind(f"the send log {log} cannot be used ({reason_of(error)}); {hint}")


def not_the_owner(log: PostgresUrl, error: Exception, *, has_tables: bool) -> SendLogUnusableError:
    """Return what it means that this user must not make the tables, or not change those of an earlier version."""
    what = (
        "has tables of an earlier version, and this user may not change them"
        if has_tables
        else "has no tables yet, and this user may not make them"
    )
    return SendLogUnusableError(
        f"the send log {log} {what} ({reason_of(error)}); have the owner of the schema campaign or of the database "
        "type, with a CAMPAIGN_LOG of its own: campaign migrate"
    )


def changing(log: PostgresUrl, error: Exception) -> SendLogError | SendLogUnusableError:
    """Return what an error of a transaction means that was rolled back."""
    if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
        return opening(log, error)
    if _is_guarded(error):
        return SendLogUnusableError(guarded(log, reason_of(error)))
    return SendLogError(
        f"the send log {log} cannot be written ({reason_of(error)}); nothing was changed. {advice(error)}, then run "
        "the same command again"
    )


def advice(error: Exception) -> str:
    """Return what to do first when the log cannot be written."""
    if isinstance(error, errors.DiskFull):
        return "Free disk space on its server"
    if isinstance(error, errors.LockNotAvailable):
        return "Wait for the command or the run that changes it"
    if _is_guarded(error):
        return "Set CAMPAIGN_LOG to that"
    return "Look at its server"


def _is_guarded(error: Exception) -> bool:
    """Return whether the log refuses changes since it was moved."""
    return isinstance(error, errors.CheckViolation) and is_guard_text(reason_of(error))
