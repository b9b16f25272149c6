"""A session with the mail server that sends nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from campaign.compliance.finding import Severity
from campaign.compliance.online.relay import review_relay
from campaign.config.smtp_url import parse_smtp_url
from support.servers.script import Fault, Reply
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript
from support.smtp_transactions import connector

if TYPE_CHECKING:
    from campaign.compliance.finding import Finding

LOGIN = ("hello@acme.example", "p4ssw0rd")
FULL = SmtpScript(tls="starttls", credentials=LOGIN, capabilities=("PIPELINING", "DSN"), size=100_000)


def review(script: SmtpScript, largest: int = 5000) -> tuple[dict[str, Finding], list[str]]:
    """Return the findings by the first word behind the server's name, and the events of the server."""

    async def run() -> list[Finding]:
        found = await review_relay(connector(server), parse_smtp_url(server.url), largest)
        await asyncio.sleep(0.05)  # noqa: TID251 - lets QUIT arrive
        return found

    with SmtpServer(script) as server:
        found = asyncio.run(run())
        label = f"Mail server 127.0.0.1:{server.port}: "
        assert all(one.text.startswith(label) for one in found)
        assert all("p4ssw0rd" not in str(one) for one in found)
        return {str(one).removeprefix(label): one for one in found}, [event["event"] for event in server.events()]


def of(found: dict[str, Finding], severity: Severity) -> list[str]:
    """Return the findings of a severity."""
    return [text for text, one in found.items() if one.severity is severity]


def test_a_mail_server_that_has_everything() -> None:
    """TLS, login, SIZE, PIPELINING and DSN pass; the session ends without a sender, a recipient or a message."""
    found, events = review(FULL)
    passed = of(found, Severity.PASSED)
    assert passed == list(found)
    for words in ("TLS (starttls)", "the login is accepted", "SIZE 100,000 bytes", "PIPELINING", "DSN"):
        assert any(text.startswith(words) for text in passed), words
    assert "auth" in events
    assert not {"mail", "rcpt", "data", "accept", "violation"} & set(events)


@pytest.mark.parametrize(
    ("script", "largest", "severity", "words"),
    [
        (replace(FULL, size=4999), 5000, Severity.PROBLEM, "SIZE is 4,999 bytes, and the largest message has 5,000"),
        (replace(FULL, capabilities=("DSN",)), 5000, Severity.WARNING, "no PIPELINING"),
        (replace(FULL, capabilities=("PIPELINING",)), 5000, Severity.WARNING, "no DSN"),
        (replace(FULL, tls="none"), 5000, Severity.WARNING, "no TLS"),
        (replace(FULL, credentials=None), 5000, Severity.NOT_CHECKED, "no login is set"),
    ],
)
def test_a_mail_server_that_lacks_something(script: SmtpScript, largest: int, severity: Severity, words: str) -> None:
    """What is missing is told once, and all else passes."""
    found, _ = review(script, largest)
    (text,) = of(found, severity)
    assert text.startswith(words)
    assert len(of(found, Severity.PASSED)) == 4


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (replace(FULL, certificate="expired"), "its TLS is not trusted"),
        (replace(FULL, faults=(Fault("auth", Reply("535 5.7.8 no")),)), "refuses the login: 535"),
        (replace(FULL, faults=(Fault("connect", Reply("421 4.3.2 busy", close=True)),)), "is not ready: 421"),
    ],
)
def test_a_mail_server_that_cannot_be_used(script: SmtpScript, words: str) -> None:
    """A server that no run could use is one problem with its reason."""
    found, _ = review(script)
    (text,) = found
    assert of(found, Severity.PROBLEM) == [text]
    assert words in text
    assert "CAMPAIGN_SMTP_URL" in text
