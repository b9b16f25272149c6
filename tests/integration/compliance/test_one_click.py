"""The unsubscribe endpoint, asked as a mail program asks it, with the token of a test."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from campaign.compliance.finding import Severity
from campaign.compliance.online.one_click import review_one_click
from campaign.tags import NO_ROW, Tags, new_key
from support.servers.page import PageServer

if TYPE_CHECKING:
    from campaign.compliance.finding import Finding

PAGES = {
    "/accepted": "202 Accepted",
    "/moved": "302 Found -> https://acme.example/login",
    "/kept": "307 Temporary Redirect -> /u",
    "/missing": "404 Not Found",
    "/get-only": "405 Method Not Allowed",
    "/login": "401 Unauthorized",
    "/broken": "503 Service Unavailable",
    "/slow": "silence",
}


def review(url: str) -> Finding:
    """Return the finding about an endpoint."""
    (one,) = asyncio.run(review_one_click(url, "news"))
    return one


@pytest.mark.parametrize(
    ("path", "severity", "words"),
    [
        ("/u", Severity.PASSED, "answers 200 to the POST of a mail program, without a redirect"),
        ("/accepted", Severity.PASSED, "answers 202"),
        ("/moved", Severity.PROBLEM, "redirects (302), and mail programs do not follow"),
        ("/kept", Severity.PROBLEM, "redirects (307)"),
        ("/missing", Severity.PROBLEM, "answers 404"),
        ("/get-only", Severity.PROBLEM, "answers 405"),
        ("/login", Severity.PROBLEM, "answers 401"),
        ("/broken", Severity.PROBLEM, "answers 503"),
        ("/slow", Severity.NOT_CHECKED, "no answer within"),
    ],
)
def test_what_the_endpoint_answers(path: str, severity: Severity, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One POST with the body of RFC 8058, without a cookie; only a 2xx without a redirect passes."""
    if severity is Severity.NOT_CHECKED:
        monkeypatch.setattr("campaign.compliance.online.web.TIMEOUT_S", 1.0)
    with PageServer(PAGES) as server:
        one = review(server.url + path)
        (request,) = server.events("request")
    assert request["method"] == "POST"
    assert request["body"] == "List-Unsubscribe=One-Click"
    assert "content-type: application/x-www-form-urlencoded" in request["head"].lower()
    assert not re.search(r"^(?:cookie|authorization):", request["head"], re.IGNORECASE | re.MULTILINE)
    assert re.fullmatch(rf"{path}/[A-Za-z0-9_-]{{34}}", request["target"])
    assert one.severity is severity
    assert f"One-click unsubscribe at {server.url}{path}: " in str(one)
    assert words in str(one)


def test_the_token_is_that_of_no_row() -> None:
    """Each call signs a token of row 0, which no log has, with a key that no log has."""
    with PageServer() as server:
        review(f"{server.url}/u")
        review(f"{server.url}/u")
        one, two = [request["target"].rpartition("/")[2] for request in server.events("request")]
    assert one != two
    tags = Tags({1: new_key()})
    assert tags.row_in_token(one) == tags.row_in_token(two) == NO_ROW
    assert not tags.is_unsubscribe_token(one, "news")


def test_an_endpoint_that_is_not_there() -> None:
    """A port on which nothing listens and a certificate that nobody trusts are problems, with what to do."""
    with PageServer() as server:
        url = server.url
    one = review(f"{url}/u")
    assert one.severity is Severity.PROBLEM
    assert "nothing listens there; start campaign serve behind its web server, or correct unsubscribe.url" in str(one)
    with PageServer(certificate="self-signed") as server:
        one = review(f"{server.url}/u")
        assert not server.events("request")
    assert one.severity is Severity.PROBLEM
    assert "browsers do not trust its TLS" in str(one)
