"""How a send log in PostgreSQL is reached: TLS that is checked, and the password from each of its places."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from campaign.config.postgres_url import parse_postgres_url
from campaign.errors import SendLogUnusableError
from campaign.sendlog import LogReader
from support.servers.postgres import NAMES, postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers.postgres import Postgres

#: Has a password, unlike the role of the other tests.
_USER = NAMES["reader"]
_PASSWORD = "sesame-open"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the certificates of two CAs."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Postgres]:
    """Yield a server with a certificate for localhost."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    issued = authority.issue_cert("localhost")
    with postgres() as found:
        certificate, key = (Path(found.folder) / f"data/server.{end}" for end in ("crt", "key"))
        certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        owner = Path(found.folder).stat()
        for file in (certificate, key):
            shutil.chown(file, owner.st_uid, owner.st_gid)
        with found.admin("empty_log") as connection:
            connection.execute(f"ALTER ROLE {_USER} PASSWORD '{_PASSWORD}'".encode())
            connection.execute("ALTER SYSTEM SET ssl = on")
            connection.execute("SELECT pg_reload_conf()")
        yield found


def url_of(server: Postgres, login: str, query: str = "", host: str = "localhost") -> str:
    """Return the URL of the server's empty log."""
    return f"postgresql://{login}@{host}:{server.port}/empty_log{query}"


def refusal(url: str) -> str | None:
    """Return why a log cannot be read; None if it can."""
    try:
        LogReader(parse_postgres_url(url)).close()
    except SendLogUnusableError as error:
        return str(error).replace(_PASSWORD, "THE PASSWORD ITSELF")
    return None


@pytest.mark.parametrize(
    ("host", "authority", "sentence"),
    [
        ("localhost", "ca.pem", None),
        ("localhost", "other.pem", "certificate verify failed); name the certificate of the server's own CA"),
        (
            "127.0.0.1",
            "ca.pem",
            'does not match host name "127.0.0.1"); name the server in CAMPAIGN_LOG by the name in',
        ),
        ("localhost", "none.pem", "none.pem\" does not exist); name the certificate of the server's CA"),
    ],
)
def test_a_server_is_known_by_its_certificate(
    server: Postgres, folder: Path, host: str, authority: str, sentence: str | None
) -> None:
    """With verify-full another CA, another name and a file that is missing are refused, each with what to change."""
    query = f"?sslmode=verify-full&sslrootcert={folder / authority}"
    found = refusal(url_of(server, f"{_USER}:{_PASSWORD}", query, host))
    if sentence is None:
        assert found is None
    else:
        assert sentence in (found or "")
        assert "THE PASSWORD" not in (found or "")


def test_a_server_without_tls_is_refused_where_it_is_required(postgres_server: Postgres) -> None:
    """A server that has no TLS gets no password if TLS is required."""
    found = refusal(url_of(postgres_server, f"{_USER}:{_PASSWORD}", "?sslmode=require", "127.0.0.1"))
    assert "server does not support SSL, but SSL was required); turn TLS on there" in (found or "")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home folder of this process."""
    for name in ("PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def file(home: Path) -> Path:
    """Return a file with the password, which only its owner may read."""
    file = home / "password-file"
    file.write_text(f"*:*:*:{_USER}:{_PASSWORD}\n", "utf-8")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("place", ["?passfile=", "PGPASSFILE", "~/.pgpass", "PGPASSWORD"])
def test_the_password_is_taken_from_each_place(
    server: Postgres, file: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Without a password in the URL it comes from a file that the URL or the environment names, or from there."""
    assert "no password supplied); put it into CAMPAIGN_LOG or PGPASSWORD" in (refusal(url_of(server, _USER)) or "")
    query = ""
    if place == "?passfile=":
        query = f"?passfile={file}"
    elif place == "PGPASSFILE":
        monkeypatch.setenv(place, str(file))
    elif place == "PGPASSWORD":
        monkeypatch.setenv(place, _PASSWORD)
    else:
        file.rename(file.with_name(".pgpass"))
    assert refusal(url_of(server, _USER, query)) is None


def test_a_password_file_of_others_is_not_used(server: Postgres, file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file that others may read is named in a warning, and the refusal says which mode it must have."""
    file.chmod(0o644)
    assert "into a file with mode 0600" in (refusal(url_of(server, _USER, f"?passfile={file}")) or "")
    assert f'password file "{file}" has group or world access' in capfd.readouterr().err


def test_a_wrong_password_is_looked_for_where_it_stands(server: Postgres, file: Path) -> None:
    """A wrong password in the URL, and one in a file, are refused with the place to look at."""
    found = refusal(url_of(server, f"{_USER}:wrong"))
    assert f'password authentication failed for user "{_USER}"); check user and password in CAMPAIGN_LOG' in (
        found or ""
    )
    file.write_text(f"*:*:*:{_USER}:wrong\n", "utf-8")
    found = refusal(url_of(server, _USER, f"?passfile={file}"))
    assert "check the user in CAMPAIGN_LOG, and its line in the file with the password" in (found or "")


def test_a_session_shows_no_secret(
    server: Postgres, folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither the list of sessions, nor what is logged, nor the title of a process has the password."""
    caplog.set_level(logging.DEBUG)
    query = f"?sslmode=verify-full&sslrootcert={folder / 'ca.pem'}"
    with (
        closing(LogReader(parse_postgres_url(url_of(server, f"{_USER}:{_PASSWORD}", query)))),
        server.admin("empty_log") as connection,
    ):
        seen = connection.execute("SELECT * FROM pg_stat_activity WHERE usename = %s", [_USER]).fetchall()
        query = "SELECT pid, application_name FROM pg_stat_activity WHERE usename = %s"
        [(pid, name)] = connection.execute(query, [_USER]).fetchall()
        titles = [Path(f"/proc/{each}/cmdline").read_text("utf-8") for each in (pid, os.getpid())]
    assert name == "campaign"
    assert _USER in titles[0]
    shown = [str(seen), caplog.text, *capfd.readouterr(), *titles, (Path(server.folder) / "log").read_text("utf-8")]
    assert not any(_PASSWORD in each for each in shown)
