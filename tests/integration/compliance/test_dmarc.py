"""DMARC policies and alignment by the tree walk, against a DNS server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from campaign.compliance.finding import Severity
from campaign.compliance.online.dmarc import review_dmarc, walk
from campaign.compliance.online.lookup import Dns
from support.servers.dns import SILENCE, DnsServer, txt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaign.compliance.finding import Finding

HOME = "news.acme.example"


def zone(**records: str | tuple[str, ...]) -> dict[str, dict[str, list[str]]]:
    """Return a zone with DMARC records; `acme_example` is the domain acme.example."""
    return {
        f"_dmarc.{name.replace('_', '.')}": txt(*([record] if isinstance(record, str) else record))
        for name, record in records.items()
    }


def review(
    records: Mapping[str, Mapping[str, list[str]]],
    *,
    sender: str = HOME,
    signing: str | None = HOME,
    envelope: str | None = None,
    faults: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Return the findings about a sender's domain."""
    with DnsServer(records, faults) as server:
        dns = Dns(server.address, timeout=0.5)
        return asyncio.run(review_dmarc(dns, sender, signing, envelope or sender))


def told(found: list[Finding], severity: Severity) -> list[str]:
    """Return the findings of a severity about the policy."""
    return [str(one) for one in found if one.severity is severity and not one.text.startswith("Alignment")]


def alignment(found: list[Finding], what: str = "DKIM") -> Finding:
    """Return the finding about alignment."""
    (one,) = (one for one in found if one.text.startswith(f"Alignment of {what}"))
    return one


@pytest.mark.parametrize(
    ("domain", "names"),
    [
        ("example", ["example"]),
        ("acme.example", ["acme.example", "example"]),
        ("a.b.c.d.e.f.g", [".".join("abcdefg"[at:]) for at in range(7)]),
        ("a.b.c.d.e.f.g.h", [".".join("abcdefgh"[at:]) for at in range(8)]),
        ("a.b.c.d.e.f.g.h.i.j", ["a.b.c.d.e.f.g.h.i.j", *(".".join("defghij"[at:]) for at in range(7))]),
    ],
)
def test_the_walk_asks_for_at_most_eight_names(domain: str, names: list[str]) -> None:
    """The walk goes from the domain to its top-level domain; of a long name it skips what is above seven labels."""
    with DnsServer({}) as server:
        asyncio.run(walk(Dns(server.address), domain))
        assert server.asked("TXT") == [f"_dmarc.{name}" for name in names]


@pytest.mark.parametrize(
    ("records", "organisation", "policy"),
    [
        (zone(), HOME, None),
        (zone(news_acme_example="v=DMARC1; p=none"), HOME, HOME),
        (zone(acme_example="v=DMARC1; p=none"), "acme.example", "acme.example"),
        (zone(acme_example="v=DMARC1", news_acme_example="v=DMARC1"), "acme.example", HOME),
        (zone(acme_example="v=DMARC1", news_acme_example="v=DMARC1; psd=n"), HOME, HOME),
        (zone(example="v=DMARC1; psd=y"), "acme.example", "example"),
        (zone(example="v=DMARC1; psd=y", acme_example="v=DMARC1"), "acme.example", "acme.example"),
        (zone(acme_example="v=DMARC1; psd=y"), HOME, "acme.example"),
        (zone(news_acme_example="v=DMARC1; psd=y"), HOME, HOME),
        (zone(acme_example=("v=DMARC1", "v=DMARC1; p=none")), HOME, None),
        (zone(acme_example="v=dmarc1; p=none", news_acme_example="p=none; v=DMARC1"), HOME, None),
        (zone(acme_example=("google=x", "v=DMARC1;p=none")), "acme.example", "acme.example"),
    ],
)
def test_the_organisation_and_its_policy(
    records: Mapping[str, Mapping[str, list[str]]], organisation: str, policy: str | None
) -> None:
    """The organisation and the record that holds are those of RFC 9989 §4.10."""
    with DnsServer(records) as server:
        found = asyncio.run(walk(Dns(server.address), HOME))
    assert (found.organisation, found.policy_domain) == (organisation, policy)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("v=DMARC1; p=none", "p=none at _dmarc.acme.example"),
        ("v=DMARC1;p=Reject;rua=mailto:d@acme.example", "p=reject at"),
        ("v=DMARC1; p=none; sp=quarantine", "sp=quarantine at"),
        ("v=DMARC1; rua=mailto:d@acme.example; p=none", "p=none at"),
    ],
)
def test_a_policy_passes(record: str, words: str) -> None:
    """Any policy passes, that of a parent with its `sp`."""
    found = review(zone(acme_example=record))
    assert [words in text for text in told(found, Severity.PASSED)] == [True]
    assert told(found, Severity.WARNING) == told(found, Severity.PROBLEM) == []


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (zone(), "there is no record; publish a TXT record at _dmarc.news.acme.example"),
        (zone(news_acme_example=("v=DMARC1; p=none", "v=DMARC1; p=reject")), "there are 2 records"),
        (zone(news_acme_example="v=DMARC1; p=block"), "p=block at _dmarc.news.acme.example is no policy"),
        (zone(acme_example="v=DMARC1; p=none; sp=all"), "sp=all at _dmarc.acme.example is no policy"),
    ],
)
def test_a_policy_that_is_missing(records: Mapping[str, Mapping[str, list[str]]], words: str) -> None:
    """No policy, several of them, or an unknown one is a problem."""
    found = review(records)
    assert [words in text for text in told(found, Severity.PROBLEM)] == [True]
    assert told(found, Severity.PASSED) == []


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("v=DMARC1; p=reject; pct=10", "pct=10 at _dmarc.news.acme.example is ignored: the policy holds for all mail"),
        ("v=DMARC1; p=reject; rf=afrf", "rf at"),
        ("v=DMARC1; p=reject; ri=3600", "ri at"),
        ("v=DMARC1; p=reject; t=y", "is a trial"),
        ("v=DMARC1; rua=mailto:d@acme.example", "has no p, which counts as none"),
        ("v=DMARC1; p=reject; nonsense", "'nonsense' is not tag=value"),
    ],
)
def test_a_record_of_the_old_rfc(record: str, words: str) -> None:
    """What RFC 9989 removed or added is a warning, and the policy passes."""
    found = review(zone(news_acme_example=record))
    assert [words in text for text in told(found, Severity.WARNING)] == [True]
    assert len(told(found, Severity.PASSED)) == 1


@pytest.mark.parametrize(
    ("signing", "records", "severity"),
    [
        (HOME, zone(), Severity.PASSED),
        ("acme.example", zone(acme_example="v=DMARC1; p=none"), Severity.PASSED),
        ("acme.example", zone(acme_example="v=DMARC1; p=none; adkim=s"), Severity.PROBLEM),
        (HOME, zone(acme_example="v=DMARC1; p=none; adkim=s"), Severity.PASSED),
        ("send.acme.example", zone(acme_example="v=DMARC1; p=none"), Severity.PASSED),
        ("acme.example", zone(news_acme_example="v=DMARC1; p=none; psd=n"), Severity.PROBLEM),
        ("acme.example", zone(news_acme_example="v=DMARC1; p=none"), Severity.PROBLEM),
        ("acme.example", zone(example="v=DMARC1; psd=y"), Severity.PASSED),
        ("other.example", zone(acme_example="v=DMARC1", other_example="v=DMARC1"), Severity.PROBLEM),
        (None, zone(acme_example="v=DMARC1; p=none"), Severity.NOT_CHECKED),
    ],
)
def test_dkim_aligns_within_the_organisation(
    signing: str | None, records: Mapping[str, Mapping[str, list[str]]], severity: Severity
) -> None:
    """The signing domain aligns if it is From's, or of the same organisation unless the policy is strict."""
    assert alignment(review(records, signing=signing)).severity is severity


@pytest.mark.parametrize(
    ("envelope", "tags", "severity"),
    [
        (HOME, "", Severity.PASSED),
        ("bounces.acme.example", "", Severity.PASSED),
        ("bounces.acme.example", "; aspf=s", Severity.PROBLEM),
        ("bounces.other.example", "", Severity.PROBLEM),
    ],
)
def test_spf_aligns_within_the_organisation(envelope: str, tags: str, severity: Severity) -> None:
    """The envelope sender's domain aligns by the same rule, with `aspf`."""
    found = review(zone(acme_example=f"v=DMARC1; p=none{tags}"), envelope=envelope)
    assert alignment(found, "SPF").severity is severity


@pytest.mark.parametrize("fault", [SILENCE, "SERVFAIL"])
def test_a_dns_that_fails_on_the_walk(fault: str) -> None:
    """If the DNS fails for one name of a walk, neither the policy nor the alignment passes."""
    records = zone(acme_example="v=DMARC1; p=none")
    (one,) = review(records, faults={"_dmarc.acme.example": fault})
    assert one.severity is Severity.NOT_CHECKED
    found = review(records, signing="send.acme.example", faults={"_dmarc.send.acme.example": fault})
    assert alignment(found).severity is Severity.NOT_CHECKED
    assert len(told(found, Severity.PASSED)) == 1
