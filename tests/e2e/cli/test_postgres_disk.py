"""A send log in PostgreSQL whose disk is really full: a sentence, nobody mailed twice, and on when there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.environment import environment, wait_for
from support.mta.programs import needed, needs_root
from support.no_fault import assert_no_fault
from support.servers.postgres import ADMIN, ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers.postgres import Postgres

PEOPLE = 300
#: An empty log has 9 MB.
_SIZE_MB = 24
_LIMITS = '[limits]\nconnections = 4\ntokens = "1000/second"\n'


@contextmanager
def on_a_small_disk(server: Postgres) -> Iterator[tuple[str, Path]]:
    """Yield the URL of a database, with its log, on a file system of its own, and that file system's folder."""
    needs_root("a file system of a few megabytes is mounted")
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
    name = f"small_{os.getpid()}"
    subprocess.run(
        [needed("mount", "mount"), "-t", "tmpfs", "-o", f"size={_SIZE_MB}m", "tmpfs", str(folder)], check=True
    )
    try:
        place = folder / "tables"
        place.mkdir()
        shutil.chown(place, ADMIN, ADMIN)
        with server.admin() as connection:
            connection.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'".encode())
            connection.execute(f"CREATE DATABASE {name} TEMPLATE empty_log TABLESPACE {name}".encode())
        yield server.url(name), folder
        server.drop(server.url(name))
        with server.admin() as connection:
            connection.execute(f"DROP TABLESPACE {name}".encode())
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave no room on a file system during the block."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(64 * 1024)) == 64 * 1024:
                pass
        except OSError:
            pass
    try:
        yield
    finally:
        ballast.unlink()


@pytest.mark.long
def test_a_full_disk_loses_nothing(tmp_path: Path, postgres_server: Postgres) -> None:
    """A CSV is taken whole or not at all; a run ends with what to do; with room again, everybody is mailed once."""
    with on_a_small_disk(postgres_server) as (url, disk), environment(tmp_path, PEOPLE, more=_LIMITS) as env:
        env.work.environment["CAMPAIGN_LOG"] = url
        with filled(disk):
            refused = env.work.run()
            assert refused.returncode in {1, 2}, refused.stdout
            assert f"the send log postgresql://{ROLE}@127.0.0.1" in refused.stderr
            assert "ree disk space" in refused.stderr
            assert_no_fault(refused.stderr)
            assert env.silent, "neither a token nor a mail"
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.accepted) >= 50, process)
        with filled(disk):
            out, err = process.communicate(timeout=120)
        assert process.returncode == 1, (out, err)
        assert "No space left on device" in err
        assert "Free disk space on its server, then run the same command again" in err
        assert_no_fault(err)
        assert len(env.accepted) < PEOPLE
        again = env.work.run()
        assert again.returncode in {0, 1}, again.stderr
        counts = env.work.status()
        assert counts["sent"] + counts["uncertain"] == PEOPLE
        assert len(env.mailed) == len(set(env.mailed))
        assert len(env.mailed) >= counts["sent"]
