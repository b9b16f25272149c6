"""Parse `CAMPAIGN_LOG`, the path of a file or the URL of a database in PostgreSQL, without DNS: `parse_log`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from campaign.config.server_url import host_and_port, is_loopback, login, service_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

#: The schemes of such a URL (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS).
_SCHEMES = ("postgresql", "postgres")
_EXAMPLE = "write it like postgresql://user:password@db.example.com/campaigns"


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A database with a send log. As text it is the URL without its password and options."""

    #: Without secrets: `postgresql://user@db.example.com/campaigns`.
    label: str
    #: libpq's parameters, by keyword, such as `host`, `dbname`, `password` and `sslmode`.
    parameters: dict[str, str] = field(repr=False, hash=False)

    def __str__(self) -> str:
        """Return the label."""
        return self.label

    @property
    def name(self) -> str:
        """The name of the database."""
        return self.parameters["dbname"]

    @property
    def names_a_file(self) -> bool:
        """Whether the URL names a file with a password."""
        return not {"passfile", "service"}.isdisjoint(self.parameters)

    @property
    def has_password(self) -> bool:
        """Whether the URL has the password, so that libpq takes it from nowhere else."""
        return "password" in self.parameters


def parse_log(value: str) -> str | PostgresUrl:
    """Return the place of a send log: a URL as the database that it names, and anything else, a path, as it is.

    Raises:
        ValueError: it is a URL, but not one of a send log.
    """
    if "://" not in value:
        return value
    if value.partition("://")[0] not in _SCHEMES:
        raise ValueError("write the path of a file, or postgresql://user:password@host/database")
    return parse_postgres_url(value)


def parse_postgres_url(url: str) -> PostgresUrl:
    """Return the database that a `postgresql://` URL names; after its `?` stand libpq's own parameters.

    To another machine TLS is required unless the URL says otherwise: libpq alone would go on without it. Of several
    hosts the one that can be written to is taken, unless `target_session_attrs` says otherwise.

    Raises:
        ValueError: the URL is not valid; the message says what to write and contains no part of user or password.
    """
    parts = service_url(url, *_SCHEMES, example=_EXAMPLE)
    if "#" in url or "@" in parts.path or "@" in parts.query:
        raise ValueError("user, password or database contain / ? # or @; write them as %2F %3F %23 %40")
    parameters = _query(parts)
    user, password = login(parts, _EXAMPLE)
    host, port = _host(parts)
    given = {
        "user": user,
        "password": password,
        "host": host,
        "port": port,
        "dbname": _database(parts),
    }
    twice = [name for name, value in given.items() if value is not None and name in parameters]
    if twice:
        raise ValueError(f"{' and '.join(twice)} stand before the ? and after it; leave one of them out")
    parameters |= {name: value for name, value in given.items() if value is not None}
    if "dbname" not in parameters:
        raise ValueError(f"the database is missing; {_EXAMPLE}")
    if not _is_here(parameters.get("host", "")):
        parameters.setdefault("sslmode", "require")
    if "," in parameters.get("host", ""):
        parameters.setdefault("target_session_attrs", "read-write")
    return PostgresUrl(_label(parameters), parameters)


def _query(parts: SplitResult) -> dict[str, str]:
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), errors="strict")
    except ValueError:
        raise ValueError("the text after the ? must be like sslmode=verify-full&connect_timeout=10") from None
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        raise ValueError("a parameter after the ? stands there twice; leave one of them out")
    return parameters


def _host(parts: SplitResult) -> tuple[str | None, str | None]:
    """Return hosts and ports, each separated by commas as libpq has them; a port that is not given is empty.

    They are (None, None) if the URL leaves them to `?host=` or to libpq, which takes a local socket.
    """
    places = parts.netloc.rpartition("@")[2]
    if not places:
        return None, None
    try:
        found = [host_and_port(parts._replace(netloc=place)) for place in places.split(",")]
    except ValueError as error:
        raise ValueError(f"{error}; {_EXAMPLE}") from None
    ports = ["" if port is None else str(port) for _, port in found]
    return ",".join(host for host, _ in found), ",".join(ports) if any(ports) else None


def _database(parts: SplitResult) -> str | None:
    try:
        name = unquote(parts.path.removeprefix("/"), errors="strict")
    except UnicodeDecodeError:
        raise ValueError("the database after the host is not UTF-8 after its %XX are decoded") from None
    if not name.isprintable():
        raise ValueError("the database after the host contains a control character")
    return name or None


def _is_here(hosts: str) -> bool:
    """Return whether all hosts, separated by commas, are this machine: its folders of sockets are, too."""
    return all(host.startswith("/") or is_loopback(host) for host in hosts.split(",") if host)


def _label(parameters: Mapping[str, str]) -> str:
    user, host, port, database = (parameters.get(name, "") for name in ("user", "host", "port", "dbname"))
    hosts, ports = host.split(","), port.split(",")
    if any(each.startswith("/") for each in hosts):
        return f"postgresql://{user and f'{user}@'}{port and f':{port}'}/{database}?host={host}"
    if len(ports) < len(hosts):
        ports *= len(hosts)  # one for all
    places = [
        (f"[{each}]" if ":" in each else each) + (its_port and f":{its_port}")
        for each, its_port in zip(hosts, ports, strict=False)
    ]
    return f"postgresql://{user and f'{user}@'}{','.join(places)}/{database}"
