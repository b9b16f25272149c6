"""A sandbox that serves for a whole test file, and clients of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from campaign.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox on free ports in a folder of its own."""
    with asyncio.Runner() as runner:
        serving = Sandbox(tmp_path_factory.mktemp("sandbox") / "state")
        runner.run(serving.__aenter__())
        yield serving
        runner.run(serving.__aexit__(None, None, None))


@pytest.fixture
def clerk(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client of the Backend API that holds the sandbox's key."""
    with httpx.Client(
        base_url=sandbox.clerk_url, headers={"Authorization": f"Bearer {sandbox.secret_key}"}, trust_env=False
    ) as client:
        yield client
