"""The URL of a send log in PostgreSQL: what it means, what its text tells, and what is refused with a sentence."""

from __future__ import annotations

import re

import pytest

from campaign.config.postgres_url import PostgresUrl, parse_log, parse_postgres_url


@pytest.mark.parametrize(
    ("url", "parameters", "label"),
    [
        (
            "postgresql://ann:hunter%402@db.example.com:5433/campaigns",
            {
                "user": "ann",
                "password": "hunter@2",
                "host": "db.example.com",
                "port": "5433",
                "dbname": "campaigns",
                "sslmode": "require",
            },
            "postgresql://ann@db.example.com:5433/campaigns",
        ),
        (
            "postgres://ann@db.example.com/campaigns?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            {
                "user": "ann",
                "host": "db.example.com",
                "dbname": "campaigns",
                "sslmode": "verify-full",
                "sslrootcert": "/etc/ca.pem",
            },
            "postgresql://ann@db.example.com/campaigns",
        ),
        (
            "postgresql://localhost/campaigns",
            {"host": "localhost", "dbname": "campaigns"},
            "postgresql://localhost/campaigns",
        ),
        ("postgresql://[::1]/a%20b", {"host": "::1", "dbname": "a b"}, "postgresql://[::1]/a b"),
        (
            "postgresql:///campaigns?host=/run/postgresql&password=hunter2",
            {"host": "/run/postgresql", "dbname": "campaigns", "password": "hunter2"},
            "postgresql:///campaigns?host=/run/postgresql",
        ),
        (
            "postgresql://ann@a.example:5433,b.example,[::1]:5434/campaigns",
            {
                "user": "ann",
                "host": "a.example,b.example,::1",
                "port": "5433,,5434",
                "dbname": "campaigns",
                "sslmode": "require",
                "target_session_attrs": "read-write",
            },
            "postgresql://ann@a.example:5433,b.example,[::1]:5434/campaigns",
        ),
        (
            "postgresql:///campaigns?host=localhost,127.0.0.1&port=5433&target_session_attrs=any",
            {"host": "localhost,127.0.0.1", "port": "5433", "dbname": "campaigns", "target_session_attrs": "any"},
            "postgresql://localhost:5433,127.0.0.1:5433/campaigns",
        ),
    ],
)
def test_a_url_names_a_database(url: str, parameters: dict[str, str], label: str) -> None:
    """A URL becomes libpq's parameters, with TLS for another machine, and its text has no password."""
    parsed = parse_postgres_url(url)
    assert parsed.parameters == parameters
    assert str(parsed) == label
    assert "hunter" not in repr(parsed)
    assert parsed.name == parameters["dbname"]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://ann:hunter2@db.example.com", "the database is missing"),
        ("postgresql://ann:hunter2@db.example.com/", "the database is missing"),
        ("postgresql://ann:hunter2@db.example.com:0/x", "port"),
        ("postgresql://ann:hunter2@a.example,/x", "the host is missing"),
        ("postgresql://ann:hunter2@a.example,b.example:x/x", "port"),
        ("postgresql://ann:hunter2@db example.com/x", "space"),
        ("postgresql://ann:hunter2@dä.example/x", "plain ASCII host name"),
        ("postgresql://ann:@db.example.com/x", "user and a password"),
        ("postgresql://ann:hunter/2@db.example.com/x", "%2F"),
        ("postgresql://ann:hunter#2@db.example.com/x", "%23"),
        ("postgresql://ann:hunter2%@db.example.com/x", "%25"),
        ("postgresql://ann:hunter2@db.example.com/%FF", "UTF-8"),
        ("postgresql://ann:hunter2@db.example.com/%00", "control character"),
        ("postgresql://ann:hunter2@db.example.com/x?sslmode", "sslmode=verify-full"),
        ("postgresql://ann:hunter2@db.example.com/x?sslmode=require&sslmode=disable", "twice"),
        ("postgresql://ann:hunter2@db.example.com/x?password=hunter3", "password stand before the ? and after it"),
        ("mysql://ann:hunter2@db.example.com/x", "postgresql://user:password@host/database"),
    ],
)
def test_a_wrong_url_is_refused_without_its_secrets(url: str, sentence: str) -> None:
    """A wrong URL is refused with what to write, and without its user and password."""
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        parse_log(url)
    assert "hunter" not in str(caught.value)


def test_whatever_is_no_url_is_a_path() -> None:
    """A value without :// is the path of a file, whatever else it has."""
    assert parse_log("logs/postgresql.db") == "logs/postgresql.db"
    assert isinstance(parse_log("postgresql:///x"), PostgresUrl)
