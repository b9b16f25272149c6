"""What all tests share: the hypothesis profiles, and how many workers run them."""

from __future__ import annotations

import os

from hypothesis import settings

# The processes that tests start use bytecode, as an installed program does: without it each start costs eight times as
# much CPU time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# `pytest --hypothesis-profile thorough` looks a thousand times harder than the default suite.
settings.register_profile("thorough", max_examples=100_000, deadline=None)
settings.register_profile("default", max_examples=100, deadline=None)


def pytest_xdist_auto_num_workers() -> int:
    """Return two workers for each core: a test waits for its servers half of its time."""
    return 2 * (os.cpu_count() or 1)
