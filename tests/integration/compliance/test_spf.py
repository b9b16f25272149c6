"""SPF records, evaluated against a DNS server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from campaign.compliance.finding import Severity
from campaign.compliance.online.lookup import Dns
from campaign.compliance.online.spf import review_spf
from support.servers.dns import SILENCE, DnsServer, txt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaign.compliance.finding import Finding
    from support.servers.dns import Zone

HOME = "acme.example"
#: Domains that a record can include: `n.example` needs n lookups besides its own.
OTHERS: Zone = {
    **{f"i{number}.example": txt("v=spf1 " + "exists:x.example " * number + "-all") for number in range(12)},
    "ip.example": txt("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all"),
    "loop.example": txt("v=spf1 include:loop2.example -all"),
    "loop2.example": txt("v=spf1 include:loop.example -all"),
    "none.example": txt("google-site-verification=x"),
    "two.example": txt("v=spf1 -all", "v=spf1 ~all"),
    "host.example": {"A": ["192.0.2.1"], "MX": ["10 host.example."]},
    "open.example": txt("v=spf1 +all"),
    "strict.example": txt("v=spf1 include:ip.example -all"),
}


def review(*records: str, faults: Mapping[str, str] | None = None) -> list[Finding]:
    """Return the findings about a domain with these TXT records."""
    with DnsServer({**OTHERS, HOME: txt(*records)}, faults) as server:
        return asyncio.run(review_spf(Dns(server.address, timeout=0.5), HOME))


@pytest.mark.parametrize(
    ("record", "lookups"),
    [
        ("v=spf1 -all", 0),
        ("V=SPF1 ip4:192.0.2.1 ip6:2001:db8::1 ~all", 0),
        ("v=spf1  include:ip.example   ~all ", 1),
        ("v=spf1 include:i4.example include:i4.example -all", 10),
        ("v=spf1 a:host.example mx:host.example/24 a:host.example/24//64 ?exists:%{i}.x.example -all", 4),
        ("v=spf1 redirect=strict.example", 2),
        ("v=spf1 -all include:none.example", 0),
        ("v=spf1 -all redirect=none.example", 0),
        ("v=spf1 include:ip.example exp=why.example moo=x ~all", 1),
        ("v=spf1 a:x1.example mx:x2.example ~all", 2),
    ],
)
def test_a_record_that_receivers_can_use(record: str, lookups: int) -> None:
    """A valid record passes with the number of its lookups; where a macro hides some, that is said and not passed."""
    (one,) = review("other=text", record)
    assert one.severity is (Severity.NOT_CHECKED if "%" in record else Severity.PASSED)
    assert f"{lookups} of at most 10" in str(one)
    assert "RFC 7208 §4.6.4" in str(one)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (("other=text",), "there is no record"),
        (("v=spf10 -all", "spf1 -all"), "there is no record"),
        (("v=spf1 -all", "v=spf1 ~all"), "there are 2 records"),
        (("v=spf1 include:i5.example include:i4.example -all",), "more than 10 lookups"),
        (("v=spf1 redirect=i11.example",), "more than 10 lookups"),
        (("v=spf1 include:loop.example -all",), "loop.example includes itself"),
        (("v=spf1 include:acme.example -all",), "acme.example includes itself"),
        (("v=spf1 include:none.example -all",), "none.example, which acme.example includes, has no SPF record"),
        (("v=spf1 include:gone.example -all",), "gone.example, which acme.example includes, has no SPF record"),
        (("v=spf1 include:two.example -all",), "has 2 SPF records"),
        (("v=spf1 redirect=none.example",), "has no SPF record"),
        (("v=spf1 ipv4:192.0.2.1 -all",), "'ipv4:192.0.2.1' in the record of acme.example is no valid term"),
        (("v=spf1 ip4:192.0.2.300 -all",), "'ip4:192.0.2.300'"),
        (("v=spf1 ip6:192.0.2.1 -all",), "'ip6:192.0.2.1'"),
        (("v=spf1 ip4 -all",), "'ip4'"),
        (("v=spf1 include: -all",), "'include:'"),
        (("v=spf1 include -all",), "'include'"),
        (("v=spf1 -all:x",), "'-all:x'"),
        (("v=spf1 redirect=",), "'redirect='"),
        (("v=spf1 include:ip.example; -all",), "'include:ip.example;'"),
        (("v=spf1 a:\x1b[31m -all",), "no valid term"),
        (("v=spf1 a:x1.example a:x2.example mx:x3.example ~all",), "3 of its lookups find nothing"),
        (("v=spf1 +all",), "it ends with +all"),
        (("v=spf1 all",), "it ends with +all"),
        (("v=spf1 redirect=open.example",), "it ends with +all"),
    ],
)
def test_a_record_that_receivers_refuse(records: tuple[str, ...], words: str) -> None:
    """A missing, ambiguous, malformed, endless or too long record is a problem that says what is wrong."""
    found = review(*records)
    (one,) = (finding for finding in found if finding.severity is Severity.PROBLEM)
    assert words in str(one)
    assert "RFC 7208" in str(one)
    assert one.advice
    assert str(one).isprintable()


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("v=spf1 ip4:192.0.2.1", "it ends without all"),
        ("v=spf1 ?all", "it ends with ?all"),
        ("v=spf1 ptr ~all", "it uses ptr"),
    ],
)
def test_a_record_that_is_of_little_use(record: str, words: str) -> None:
    """A valid record that protects nobody, or leans on what receivers skip, is a warning."""
    found = review(record)
    assert [words in str(one) for one in found if one.severity is Severity.WARNING] == [True]
    assert [one.severity for one in found if one.severity is not Severity.WARNING] == [Severity.PASSED]


@pytest.mark.parametrize("name", [HOME, "ip.example", "host.example"])
@pytest.mark.parametrize("fault", ["SERVFAIL", pytest.param(SILENCE, marks=pytest.mark.long)])
def test_a_dns_that_fails_on_the_way(name: str, fault: str) -> None:
    """If the DNS fails for any name of the record, it is not checked."""
    (one,) = review("v=spf1 include:ip.example a:host.example -all", faults={name: fault})
    assert one.severity is Severity.NOT_CHECKED
    assert name in str(one)
