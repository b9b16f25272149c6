"""The masked address in a link."""

from __future__ import annotations

import pytest

from campaign.message.address_hint import address_hint


@pytest.mark.parametrize(
    ("email", "hint"),
    [
        ("ada@example.com", "a…@example.com"),
        ("Ada.Lovelace+news@example.com", "A…@example.com"),
        ("al@example.com", "a…@example.com"),
        ("a@example.com", "…@example.com"),
        ("mia@xn--bcher-kva.example", "m…@bücher.example"),
        ("mia@mail.xn--bcher-kva.example", "m…@mail.bücher.example"),
        ("mia@xn--11b5bs3a9aj6g.example", "m…@\u092a\u0930\u0940\u0915\u094d\u0937\u093e.example"),
        ("mia@xn--99999999.example", "m…@xn--99999999.example"),
    ],
)
def test_an_address_is_masked(email: str, hint: str) -> None:
    """The first letter and the domain are left, the domain as people write it; a single letter is not."""
    assert address_hint(email) == hint
