"""Shared code of the tests: servers that fail on request, workspaces, and an independent checker of the promises."""

from __future__ import annotations

from pathlib import Path

#: The folder of the tests, from which `support` is imported.
TESTS = Path(__file__).parents[1]
#: The repository.
ROOT = TESTS.parent
