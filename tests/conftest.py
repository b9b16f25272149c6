"""What all tests share: the hypothesis profiles."""

from __future__ import annotations

from hypothesis import settings

# `pytest --hypothesis-profile thorough` looks a thousand times harder than the default suite.
settings.register_profile("thorough", max_examples=100_000, deadline=None)
settings.register_profile("default", max_examples=100, deadline=None)
