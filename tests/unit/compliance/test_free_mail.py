"""Which domains are those of free-mail providers."""

from __future__ import annotations

import pytest

from campaign.compliance.free_mail import is_free_mail


@pytest.mark.parametrize(
    "domain",
    ["gmail.com", "googlemail.com", "yahoo.com", "yahoo.de", "yahoo.co.uk", "hotmail.com.br", "outlook.com", "gmx.net"],
)
def test_a_free_mail_domain(domain: str) -> None:
    """Large providers are known, with their national domains."""
    assert is_free_mail(domain)


@pytest.mark.parametrize(
    "domain",
    [
        "acme.example",
        "notgmail.com",
        "mail.gmail.com",
        "gmail.com.acme.example",
        "live.example",
        "live.co",
        "outlook.co.example",
        "yahoo",
        "com",
        "",
    ],
)
def test_a_domain_of_ones_own(domain: str) -> None:
    """A domain that only resembles one of them is the sender's own."""
    assert not is_free_mail(domain)
