"""A sandbox that runs during a whole test file, and clients of it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest

from campaign.sandbox import Sandbox
from campaign.sandbox.inbox import inbox_pages
from support.plain_http import NO_TLS
from support.sandbox.inboxes import MIA, Inbox, landing, log_of

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
    """A client of the Backend API with the sandbox's key."""
    with httpx.Client(
        base_url=sandbox.clerk_url,
        headers={"Authorization": f"Bearer {sandbox.secret_key}"},
        trust_env=False,
        verify=NO_TLS,
    ) as client:
        yield client


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    """An inbox with an empty mailbox, and a Clerk that knows Mia."""
    pages = partial(inbox_pages, landing=landing, log_of=log_of)
    with asyncio.Runner() as runner:
        serving = Sandbox(tmp_path_factory.mktemp("inbox") / "state", pages=pages)
        runner.run(serving.__aenter__())
        serving.learn([("user_mia", MIA)])
        opened = Inbox(serving)
        yield opened
        opened.http.close()
        runner.run(serving.__aexit__(None, None, None))
