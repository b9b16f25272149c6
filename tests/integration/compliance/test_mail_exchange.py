"""Whether the domains of From and Reply-To can receive mail."""

from __future__ import annotations

import asyncio

import pytest

from campaign.compliance.finding import Severity
from campaign.compliance.online.lookup import Dns
from campaign.compliance.online.mail_exchange import review_mx
from support.servers.dns import SILENCE, DnsServer

ZONE = {
    "acme.example": {"MX": ["20 gone.example.", "10 mx.example."]},
    "mx.example": {"AAAA": ["2001:db8::1"]},
    "null.example": {"MX": ["0 ."], "A": ["192.0.2.1"]},
    "bare.example": {"A": ["192.0.2.1"]},
    "dead.example": {"MX": ["10 gone.example."]},
    "slow.example": {"MX": ["10 silent.example."]},
}
FAULTS = {"silent.example": SILENCE, "broken.example": "SERVFAIL"}


@pytest.mark.parametrize(
    ("domain", "severity", "words"),
    [
        ("acme.example", Severity.PASSED, "MX of acme.example (From): mx.example and 1 more"),
        ("null.example", Severity.PROBLEM, "RFC 7505"),
        ("bare.example", Severity.WARNING, "replies go to the address of bare.example itself"),
        ("nobody.example", Severity.PROBLEM, "there is none, so replies bounce"),
        ("dead.example", Severity.PROBLEM, "gone.example has no address"),
        ("slow.example", Severity.NOT_CHECKED, "did not answer in time for silent.example"),
        ("broken.example", Severity.NOT_CHECKED, "SERVFAIL"),
    ],
)
def test_whether_replies_can_be_delivered(domain: str, severity: Severity, words: str) -> None:
    """A domain receives mail by its MX, or by its own address; the null MX says that it does not."""
    with DnsServer(ZONE, FAULTS) as server:
        (one,) = asyncio.run(review_mx(Dns(server.address, timeout=0.5), "From", domain))
    assert one.severity is severity
    assert words in str(one)
