"""How many examples a property gets that costs more than others: `fewer_examples`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Collection

    from hypothesis import Phase


def fewer_examples(phases: Collection[Phase] | None = None) -> settings:
    """Return the profile's settings with a third of its examples, and in these phases only, if they are given."""
    profile = settings.default
    assert profile is not None
    return settings(profile, max_examples=profile.max_examples // 3, phases=phases or profile.phases)
