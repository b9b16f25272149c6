"""The fates that tags of an address ask for."""

from __future__ import annotations

import pytest

from campaign.sandbox.fates import Fate, fate_of


@pytest.mark.parametrize(
    ("address", "fate"),
    [
        ("mia@example.com", Fate()),
        ("mia+news@example.com", Fate()),
        ("bounce@example.com", Fate()),
        ("mia@bounce+bounce.example", Fate()),
        ("MIA+BOUNCE@example.com", Fate(bounce=True)),
        ("mia+defer12@example.com", Fate(defer=12)),
        ("mia+defer@example.com", Fate()),
        ("mia+banned+drop+defer1@example.com", Fate(banned=True, drop=True, defer=1)),
        ("mia+hang@example.com", Fate(hang=True)),
        ("mia+nouser@example.com", Fate(nouser=True)),
        ("mia+mismatch@example.com", Fate(mismatch=True)),
        ("mia+locked@example.com", Fate(locked=True)),
        ("mia+nomember@example.com", Fate(nomember=True)),
        ("mia+task@example.com", Fate(task="choose-organization")),
        ("mia+task-setup-mfa+banned@example.com", Fate(task="setup-mfa", banned=True)),
        ("mia+task-wash-up@example.com", Fate()),
    ],
)
def test_a_fate_is_asked_for_by_a_tag(address: str, fate: Fate) -> None:
    """Only tags of the local part count, in any case, one or several."""
    assert fate_of(address) == fate
