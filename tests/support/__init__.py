"""What the tests share: servers that misbehave on request, a workspace, an independent checker of the promises."""

from __future__ import annotations

from pathlib import Path

#: The folder of the tests, from which `support` is imported.
TESTS = Path(__file__).parents[1]
#: The repository.
ROOT = TESTS.parent
