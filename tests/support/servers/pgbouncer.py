"""Run PgBouncer between the program and a PostgreSQL of the tests: `pgbouncer`."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.mta.programs import daemon, free_port, needed
from support.servers.postgres import ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator

_SETTINGS = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
"""


@contextmanager
def pgbouncer(server: int, *, mode: str) -> Iterator[int]:
    """Yield the pooler's port on 127.0.0.1.

    Args:
        server: the port of the PostgreSQL behind it.
        mode: when a session goes to another client: after a `transaction`, or at the end of the `session`.
    """
    program, port = needed("pgbouncer", "pgbouncer"), free_port()
    # pytest's folders are closed to the user nobody, and PgBouncer refuses root
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "users").write_text(f'"{ROLE}" "secret"\n', "utf-8")
        settings = folder / "pgbouncer.ini"
        settings.write_text(_SETTINGS.format(server=server, port=port, folder=folder, mode=mode), "utf-8")
        user = () if os.geteuid() else ("-u", "nobody")
        with daemon([program, *user, str(settings)], port, folder / "output"):
            yield port
