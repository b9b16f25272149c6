"""The DKIM record in the DNS beside the key that signs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from campaign.compliance.finding import Severity
from campaign.compliance.online.dkim_record import review_dkim
from campaign.compliance.online.lookup import Dns
from campaign.config.definition import DkimSection
from campaign.message.dkim.key import SigningKey, read_key
from support.dkim_keys import write_key
from support.servers.dns import SILENCE, DnsServer, txt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from campaign.compliance.finding import Finding

NAME = "s1._domainkey.acme.example"
SECTION = DkimSection(selector="s1", domain="acme.example")


@pytest.fixture(params=["rsa2048", "ed25519"])
def key(request: pytest.FixtureRequest, tmp_path: Path) -> SigningKey:
    """A key of either kind."""
    return read_key(write_key(tmp_path, request.param))


def review(records: list[str], key: SigningKey | None, faults: Mapping[str, str] | None = None) -> list[Finding]:
    """Return the findings about the selector with these TXT records."""
    with DnsServer({NAME: txt(*records)} if records else {}, faults) as server:
        return asyncio.run(review_dkim(Dns(server.address, timeout=0.5), SECTION, key))


@pytest.mark.parametrize(
    "change",
    [
        ("", ""),
        ("v=DKIM1; ", ""),
        ("; p=", "; h=sha1:sha256; s=email:other; t=s; n=note; p="),
        (" ", ""),
        ("=", " = "),
    ],
)
def test_the_record_of_the_key_passes(key: SigningKey, change: tuple[str, str]) -> None:
    """The record that `check` prints passes, and so does any other spelling of it."""
    record = key.record
    head, _, value = record.rpartition("p=")
    (one,) = review([(head + "p=").replace(*change) + value[:100] + " " + value[100:]], key)
    assert str(one) == f"DKIM at {NAME}: the record has the key that signs (RFC 6376 §3.6.1)"
    assert one.severity is Severity.PASSED


def test_an_rsa_record_may_leave_out_its_kind(tmp_path: Path) -> None:
    """A record without `k=` is for RSA, and a problem for an Ed25519 key."""
    key = read_key(write_key(tmp_path, "rsa2048"))
    (one,) = review([f"p={key.public}"], key)
    assert one.severity is Severity.PASSED
    other = read_key(write_key(tmp_path, "ed25519"))
    (one,) = review([f"p={other.public}"], other)
    assert "the record (without k= means rsa) is not for the key that signs, ed25519" in str(one)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([], "there is no record"),
        (["{record}", "{record}; n=x"], "there are 2 records"),
        (["v=DKIM2; k={kind}; p={public}"], "must begin with v=DKIM1"),
        (["k={kind}; v=DKIM1; p={public}"], "must begin with v=DKIM1"),
        (["v=DKIM1; k={kind}"], "no p=, the public key"),
        (["v=DKIM1; k={kind}; p="], "the key is revoked"),
        (["v=DKIM1; k={kind}; p={public}x"], "p= is not the public key of CAMPAIGN_DKIM_KEY"),
        (["v=DKIM1; k=dsa; p={public}"], "(k=dsa) is not for the key that signs"),
        (["v=DKIM1; k={kind}; h=sha1; p={public}"], "h= does not allow sha256"),
        (["v=DKIM1; k={kind}; s=web; p={public}"], "s= does not allow email"),
        (["v=DKIM1; k={kind}; p={public}; p={public}"], "p occurs twice"),
        (["nonsense"], "malformed"),
    ],
)
def test_a_record_with_which_no_signature_verifies(key: SigningKey, records: list[str], words: str) -> None:
    """A record that is missing, ambiguous, malformed or for another key is a problem."""
    told = {"record": key.record, "public": key.public, "kind": key.kind}
    found = review([record.format(**told) for record in records], key)
    assert [one.severity for one in found] == [Severity.PROBLEM]
    assert words in str(found[0])
    assert found[0].advice


def test_a_record_of_a_trial(key: SigningKey) -> None:
    """`t=y` is a warning, alone or among other flags."""
    for flags in ("y", "s:y", " s : y "):
        (one,) = review([key.record.replace("; p=", f"; t={flags}; p=")], key)
        assert one.severity is Severity.WARNING
        assert "t=y says that it is a test" in str(one)


def test_what_cannot_be_compared(key: SigningKey) -> None:
    """Without an answer, without a key, or without `[dkim]`, nothing passes."""
    for fault in (SILENCE, "SERVFAIL"):
        (one,) = review([key.record], key, {NAME: fault})
        assert one.severity is Severity.NOT_CHECKED
    (one,) = review([key.record], None)
    assert one.severity is Severity.NOT_CHECKED
    assert "no key here to compare with" in str(one)
    (one,) = asyncio.run(review_dkim(Dns("127.0.0.1:9"), None, None))
    assert one.severity is Severity.NOT_CHECKED
    assert "the mail server has to sign" in str(one)
