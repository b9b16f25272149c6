"""The address of a resolver."""

from __future__ import annotations

import pytest

from campaign.compliance.online.lookup import Dns
from campaign.errors import SettingsError


@pytest.mark.parametrize("address", ["192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:5353", "[::1]"])
def test_an_address_of_a_resolver(address: str) -> None:
    """An IP address with or without a port is taken."""
    assert Dns(address)


@pytest.mark.parametrize(
    "address", ["", "dns.example", "192.0.2.53:0", "192.0.2.53:x", "192.0.2.53:65536", "[::1", "::1:x"]
)
def test_what_is_no_address_of_a_resolver(address: str) -> None:
    """Anything else is refused with what to write."""
    with pytest.raises(SettingsError, match=r"--resolver: .* write 192\.0\.2\.53"):
        Dns(address)
