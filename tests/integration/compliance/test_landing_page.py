"""The pages behind the links, opened without a token."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from campaign.compliance.finding import Severity
from campaign.compliance.online.landing_page import review_pages
from support.servers.page import PageServer

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.compliance.finding import Finding

TOKEN = "token=eyJhbGciOiJSUzI1NiJ9"
PAGES = {
    "/gone": "404 Not Found",
    "/broken": "503 Service Unavailable",
    "/login": "403 Forbidden",
    "/limited": "429 Too Many Requests",
    "/old": "302 Found -> https://other.example/new?session=1",
    "/slow": "silence",
}


def review(*links: str) -> list[Finding]:
    """Return the findings about these links."""
    return asyncio.run(review_pages(links, "token"))


@pytest.mark.parametrize(
    ("path", "severity", "words"),
    [
        ("/welcome", Severity.PASSED, "answers 200 without a token"),
        ("/gone", Severity.PROBLEM, "answers 404"),
        ("/broken", Severity.PROBLEM, "answers 503"),
        ("/login", Severity.NOT_CHECKED, "answers 403 to this program"),
        ("/limited", Severity.NOT_CHECKED, "answers 429 to this program"),
        ("/old", Severity.WARNING, "redirects to https://other.example/new (302)"),
        ("/slow", Severity.NOT_CHECKED, "no answer within"),
    ],
)
def test_what_a_page_answers(path: str, severity: Severity, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is opened once by GET without the token, and its answer told; a redirect is not followed."""
    if words == "no answer within":
        monkeypatch.setattr("campaign.compliance.online.web.TIMEOUT_S", 1.0)
    with PageServer(PAGES) as server:
        (one,) = review(f"{server.url}{path}?cart=7&{TOKEN}#here")
        (request,) = server.events("request")
    assert (request["method"], request["target"]) == ("GET", f"{path}?cart=7")
    assert "eyJ" not in request["head"]
    assert one.severity is severity
    assert f"Landing page {server.url}{path}: " in str(one)
    assert words in str(one)


def test_each_page_is_opened_once() -> None:
    """Links that differ in the token alone are one page; of many pages five are opened, and the others counted."""
    with PageServer() as server:
        links = [f"{server.url}/{number % 7}?{TOKEN}{number}" for number in range(14)]
        found = review(*links)
        assert len(server.events("request")) == 5
    assert [one.severity for one in found] == [Severity.PASSED] * 5 + [Severity.NOT_CHECKED]
    assert "2 more pages" in str(found[-1])


@pytest.mark.parametrize("certificate", ["self-signed", "expired", "wrong-host", "untrusted"])
def test_a_certificate_that_browsers_do_not_trust(certificate: str) -> None:
    """A page whose TLS cannot be trusted is a problem."""
    with PageServer(certificate=certificate) as server:  # type: ignore[arg-type]
        (one,) = review(f"{server.url}/welcome?{TOKEN}")
        assert not server.events("request")
    assert one.severity is Severity.PROBLEM
    assert "browsers do not trust its TLS" in str(one)


def test_a_page_over_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page with a trusted certificate passes; `SSL_CERT_FILE` is honoured as for the mail server."""
    with PageServer(certificate="good") as server:
        (tmp_path / "authority.pem").write_bytes(server.authority)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        (one,) = review(f"{server.url}/welcome?{TOKEN}")
    assert one.severity is Severity.PASSED


def test_a_page_that_is_not_there() -> None:
    """A port on which nothing listens is a problem, and a campaign without a rendered row is not checked."""
    with PageServer() as server:
        url = server.url
    (one,) = review(f"{url}/welcome?{TOKEN}")
    assert one.severity is Severity.PROBLEM
    assert "nothing listens there" in str(one)
    (one,) = review()
    assert one.severity is Severity.NOT_CHECKED
