"""Run a PostgreSQL of the tests' own: `shared_postgres` starts it, `Postgres.fresh` makes a database at once."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from campaign.sendlog.postgres.statements import schema
from support import ROOT
from support.mta.programs import free_port, needed
from support.servers.postgres_janitor import stop, watch

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The role of the tests: it may do what deploy/postgres-roles.sql grants to those who run campaigns, and no more; a
#: database without a log is its own. A wrong password is refused for every role but this one and ADMIN.
ROLE = "tester"
#: The roles of that file, by their names there.
NAMES = {"owner": "campaign_owner", "worker": "campaign_worker", "reader": "campaign_reader"}
#: The superuser, who may change what ROLE must not.
ADMIN = "postgres"
#: An empty send log, of which each fresh database is a copy.
_TEMPLATE = "empty_log"
_ROLES = ROOT / "deploy/postgres-roles.sql"
_DEBIAN = Path("/usr/lib/postgresql")
_PATIENCE_S = 120
_HBA = f"""
local all all trust
local replication all trust
host all {ROLE},{ADMIN} 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""
_COMMON = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
port = {port}
max_connections = 200
shared_buffers = 64MB
log_line_prefix = '%t [%p] %d '
"""
#: For tests that do not kill the server.
_IN_A_HURRY = """
fsync = off
full_page_writes = off
autovacuum = off
max_wal_size = 4GB
"""
#: The role of a replica fires no triggers: the history could not be emptied otherwise. A small table is emptied by
#: DELETE, since TRUNCATE makes new files for the table and each of its indexes.
_EMPTY = """
SET session_replication_role = replica;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT oid::regclass AS name, relkind, pg_relation_size(oid) AS size
        FROM pg_class
        WHERE relnamespace = 'campaign'::regnamespace AND relkind IN ('r', 'S') AND relname <> 'schema_version'
    LOOP
        IF each.relkind = 'S' THEN
            PERFORM setval(each.name, 1, false);
        ELSIF each.size > 65536 THEN
            EXECUTE 'TRUNCATE ' || each.name;
        ELSIF each.size > 0 THEN
            EXECUTE 'DELETE FROM ' || each.name;
        END IF;
    END LOOP;
END;
$$;
"""
_number = count(1)


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    #: Its data, its log and its socket.
    folder: str
    #: On 127.0.0.1.
    port: int

    def url(self, database: str) -> str:
        """Return a value for CAMPAIGN_LOG."""
        return f"postgresql://{ROLE}:secret@127.0.0.1:{self.port}/{database}"

    def for_admin(self, url: str) -> str:
        """Return the URL of a database for the superuser, who may do what is the owner's."""
        return url.replace(f"//{ROLE}:", f"//{ADMIN}:")

    def local_url(self, database: str) -> str:
        """Return the URL of a database by the server's socket, which another host's program cannot have."""
        return f"postgresql://{ROLE}:secret@/{database}?host={self.folder}&port={self.port}"

    def fresh(self, *, is_empty: bool = False) -> str:
        """Make a database with an empty send log, or with nothing at all; return its URL."""
        name = f"log_{os.getpid()}_{next(_number)}"
        origin = f"template0 OWNER {ROLE}" if is_empty else _TEMPLATE
        with self.admin() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {origin}")
        return self.url(name)

    def empty(self, url: str) -> None:
        """Make the send log of a database an empty one again, in a tenth of the time that a fresh one takes."""
        with self.admin(url.rpartition("/")[2]) as connection:
            connection.execute(_EMPTY)

    def drop(self, url: str) -> None:
        """Remove a database, with whoever is still connected to it."""
        with self.admin() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def crash(self) -> None:
        """Let it stop in the middle of what it does, as if the power failed, and start it again."""
        folder = Path(self.folder)
        _run("pg_ctl", folder, "--pgdata", _data(self), "--wait", "--timeout", str(_PATIENCE_S), "restart",
             "--mode", "immediate", "--log", f"{folder}/log")  # fmt: skip

    def halt(self) -> None:
        """Stop it in the middle of what it does, for good."""
        folder = Path(self.folder)
        _run("pg_ctl", folder, "--pgdata", _data(self), "--wait", "--timeout", str(_PATIENCE_S), "stop",
             "--mode", "immediate")  # fmt: skip

    def promote(self) -> None:
        """Make a standby the primary server."""
        folder = Path(self.folder)
        _run("pg_ctl", folder, "--pgdata", _data(self), "--wait", "--timeout", str(_PATIENCE_S), "promote")

    def make_roles(self, database: str, **names: str) -> None:
        """Make the roles of deploy/postgres-roles.sql for a database, as an administrator does, with a password each.

        Args:
            database: its name.
            names: other names than the file's for `owner`, `worker` and `reader`.
        """
        self.psql(_ROLES, database, *(word for name, value in names.items() for word in ("-v", f"{name}={value}")))
        with self.admin() as connection:
            new = "SELECT rolname FROM pg_authid WHERE rolpassword IS NULL AND rolname = ANY (%s)"
            for (name,) in connection.execute(new, [list({**NAMES, **names}.values())]).fetchall():
                connection.execute(f"ALTER ROLE {name} PASSWORD 'secret'")

    def psql(self, file: Path, database: str, *options: str) -> None:
        """Execute a file as the superuser."""
        place = ("-h", self.folder, "-p", str(self.port), "-U", ADMIN, "-d", database)
        _run("psql", Path(self.folder), "-X", "-q", "-v", "ON_ERROR_STOP=1", *options, *place, "-f", str(file))

    @contextmanager
    def admin(self, database: str = ADMIN) -> Iterator[psycopg.Connection[Any]]:
        """Connect as the superuser; each statement is its own transaction."""
        place = f"host={self.folder} port={self.port} user={ADMIN} dbname={database}"
        with psycopg.connect(place, autocommit=True) as connection:
            yield connection


@contextmanager
def postgres(*, is_durable: bool = False, network: str = "") -> Iterator[Postgres]:
    """Yield a running server.

    Args:
        is_durable: what it commits outlives a crash of the machine; a server that is killed needs that.
        network: the addresses, such as 198.18.0.0/15, from which ROLE may connect, too; empty: from 127.0.0.1 alone.
    """
    folder = _new_folder()
    lock = folder / "use"
    with lock.open("w") as use:
        fcntl.flock(use, fcntl.LOCK_SH)
        watch(lock, folder)
        try:
            yield _start(folder, is_durable=is_durable, network=network)
        finally:
            stop(folder)


@contextmanager
def standby_of(server: Postgres, *, is_synchronous: bool = True) -> Iterator[Postgres]:
    """Yield a streaming standby of a server, which from now on commits only what the standby has, if synchronous."""
    folder = _new_folder()
    lock = folder / "use"
    with lock.open("w") as use:
        fcntl.flock(use, fcntl.LOCK_SH)
        watch(lock, folder)
        try:
            standby = Postgres(str(folder), free_port())
            _run("pg_basebackup", folder, "--pgdata", _data(standby), "--host", server.folder, "--port",
                 str(server.port), "--username", ADMIN, "--write-recovery-conf", "--checkpoint", "fast",
                 "--no-sync")  # fmt: skip
            with (folder / "data/postgresql.conf").open("a", encoding="utf-8") as file:
                file.write(_COMMON.format(folder=folder, port=standby.port))
            _run("pg_ctl", folder, "--pgdata", _data(standby), "--wait", "--timeout", str(_PATIENCE_S), "start",
                 "--log", f"{folder}/log")  # fmt: skip
            with server.admin() as connection:
                connection.execute(f"ALTER SYSTEM SET synchronous_standby_names TO '{'*' if is_synchronous else ''}'")
                connection.execute("SELECT pg_reload_conf()")
            yield standby
        finally:
            stop(folder)


@contextmanager
def shared_postgres(folder: Path) -> Iterator[Postgres]:
    """Yield the one server of all processes that name the same folder; it stops when the last one has left."""
    lock = folder / "postgres.use"
    with (folder / "postgres.start").open("w") as start, lock.open("a+", encoding="utf-8") as use:
        fcntl.flock(start, fcntl.LOCK_EX)
        fcntl.flock(use, fcntl.LOCK_SH)
        if not lock.read_text("utf-8"):
            place = _new_folder()
            watch(lock, place)
            lock.write_text(json.dumps(asdict(_start(place, is_durable=False))), "utf-8")
        fcntl.flock(start, fcntl.LOCK_UN)
        yield Postgres(**json.loads(lock.read_text("utf-8")))


def _new_folder() -> Path:
    # pytest's folders are closed to the user postgres
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    if os.geteuid() == 0:
        shutil.chown(folder, ADMIN, ADMIN)
    return folder


def _start(folder: Path, *, is_durable: bool, network: str = "") -> Postgres:
    server = Postgres(str(folder), free_port())
    try:
        _run("initdb", folder, "--pgdata", _data(server), "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
             "--username", ADMIN, "--no-instructions")  # fmt: skip
        settings = _COMMON.format(folder=folder, port=server.port) + ("" if is_durable else _IN_A_HURRY)
        settings += "listen_addresses = '*'\n" if network else ""
        with (folder / "data/postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(settings)
        others = f"host all {ROLE} {network} trust\n" if network else ""
        (folder / "data/pg_hba.conf").write_text(_HBA + others, "utf-8")
        _run("pg_ctl", folder, "--pgdata", _data(server), "--wait", "--timeout", str(_PATIENCE_S), "start",
             "--log", f"{folder}/log")  # fmt: skip
        _prepare(server)
    except BaseException:
        stop(folder)
        raise
    return server


def _prepare(server: Postgres) -> None:
    with server.admin() as connection:
        connection.execute(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
        # here, since two processes could not make it at once
        connection.execute(f"CREATE ROLE {NAMES['worker']} LOGIN PASSWORD 'secret'")
    server.make_roles(_TEMPLATE, worker=ROLE)
    with server.admin(_TEMPLATE) as connection, connection.transaction():
        connection.execute(f"SET LOCAL ROLE {NAMES['owner']}")
        connection.execute(schema())


def _data(server: Postgres) -> str:
    return f"{server.folder}/data"


def _run(program: str, folder: Path, *arguments: str) -> None:
    """Run one of PostgreSQL's programs, as the user postgres if we are root, whom it refuses."""
    path = needed(program, "postgresql", folders=sorted(_DEBIAN.glob("*/bin"), key=_version, reverse=True))
    is_root = os.geteuid() == 0
    # a pipe would stay open in the server
    with (folder / f"{program}.out").open("w+", encoding="utf-8") as said:
        done = subprocess.run(
            [path, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            check=False,
            user=ADMIN if is_root else None,
            group=ADMIN if is_root else None,
            extra_groups=[] if is_root else None,
        )
        said.seek(0)
        assert done.returncode == 0, said.read()


def _version(folder: Path) -> float:
    return float(folder.parent.name)
