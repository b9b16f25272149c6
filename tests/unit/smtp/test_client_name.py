"""The name for EHLO: the operator's, else the machine's, else the sender's domain."""

from __future__ import annotations

import pytest

from campaign.smtp.client_name import client_name


@pytest.mark.parametrize(
    ("chosen", "host", "sender", "name"),
    [
        ("mx.acme.example", "host.example", "hello@acme.example", "mx.acme.example"),
        ("[192.0.2.1]", "host.example", "hello@acme.example", "[192.0.2.1]"),
        (None, "host.example", "hello@acme.example", "host.example"),
        (None, "b94ffa67c2de", "hello@acme.example", "acme.example"),
        (None, "localhost.localdomain", "hello@acme.example", "acme.example"),
        (None, "192.0.2.1", "hello@acme.example", "acme.example"),
        (None, "under_score.example", "hello@acme.example", "acme.example"),
        (None, "laptop", "root@localhost", None),
    ],
)
def test_a_name_that_a_relay_takes(chosen: str | None, host: str, sender: str, name: str | None) -> None:
    """A name without a dot, an IP address and a name of the loopback are never told to a relay."""
    assert client_name(chosen, host=host, sender=sender) == name
