"""Asking a DNS server: what it answers, and what it is when it does not."""

from __future__ import annotations

import asyncio

import pytest

from campaign.compliance.online.lookup import Dns, NoAnswerError
from support.servers.dns import SILENCE, DnsServer, txt

LONG = "v=DKIM1; p=" + "A" * 700
ZONE = {
    "acme.example": {
        **txt("one", LONG),
        "MX": ["20 b.acme.example.", "10 a.acme.example."],
    },
    "a.acme.example": {"A": ["192.0.2.1"]},
    "b.acme.example": {"AAAA": ["2001:db8::1"]},
    "null.example": {"MX": ["0 ."]},
}


def test_records_of_a_name() -> None:
    """Long texts are joined and come over TCP, MX hosts are in order of preference, addresses are of both kinds."""

    async def ask() -> None:
        dns = Dns(server.address)
        assert sorted(await dns.txt("acme.example")) == ["one", LONG]
        assert await dns.mx("acme.example") == ["a.acme.example", "b.acme.example"]
        assert await dns.mx("null.example") == ["."]
        assert await dns.has_address("a.acme.example")
        assert await dns.has_address("b.acme.example")

    with DnsServer(ZONE) as server:
        asyncio.run(ask())


def test_a_name_without_records() -> None:
    """A name that does not exist, or has records of other types only, has none."""

    async def ask() -> None:
        dns = Dns(server.address)
        for name in ("a.acme.example", "nobody.example"):
            assert await dns.txt(name) == []
            assert await dns.mx(name) == []
        assert not await dns.has_address("acme.example")

    with DnsServer(ZONE) as server:
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (SILENCE, "^the DNS did not answer in time for acme.example$"),
        ("SERVFAIL", "^the DNS failed for acme.example: SERVFAIL$"),
        ("REFUSED", "^the DNS failed for acme.example: REFUSED$"),
    ],
)
def test_a_dns_that_gives_no_answer(fault: str, words: str) -> None:
    """Silence and errors are no answer; they never look like a name without records."""

    async def ask(name: str) -> None:
        await Dns(server.address, timeout=0.5).txt(name)

    with DnsServer(ZONE, {"acme.example": fault}) as server, pytest.raises(NoAnswerError, match=words):
        asyncio.run(ask("acme.example"))


@pytest.mark.parametrize("name", ["x" * 64 + ".example", ".".join(["x" * 60] * 5), "a..example"])
def test_a_name_that_cannot_be_asked_for(name: str) -> None:
    """A name that the DNS cannot hold gives no answer, and no traceback."""

    async def ask() -> None:
        await Dns("127.0.0.1:9").txt(name)

    with pytest.raises(NoAnswerError, match="cannot be asked for"):
        asyncio.run(ask())
