"""Chromium, and Clerk's own clerk-js; a test whose requirement is missing is skipped with its name."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from campaign.landing import landing_page
from support.browser import npm
from support.browser.frontend_api import PUBLISHABLE_KEY, FrontendApi
from support.browser.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from support.browser.visitor import Arrive


@pytest.fixture(scope="session")
def clerk_js() -> dict[str, Path]:
    """clerk-js by major version: a folder of files each."""
    return npm.clerk_js()


# Not for the session: while it lives, Playwright keeps an event loop running, and asyncio.run refuses.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium, Debian's or Playwright's own."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    installed = shutil.which("chromium") or shutil.which("google-chrome")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=arguments)
        except api.Error as error:
            pytest.skip(f"Chromium does not start: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def arrive(chromium: Browser) -> Iterator[Arrive]:
    """Return a visitor with a new browser, or with that of another visitor.

    Check at the end that no request left this machine and that none had a Referer header.
    """
    visitors: list[Visitor] = []
    servers: list[FrontendApi] = []

    def arriving(
        api: FrontendApi, *, beside: Visitor | None = None, site: str | None = None, **options: object
    ) -> Visitor:
        context = beside.context if beside else chromium.new_context(**options)  # type: ignore[arg-type]
        visitors.append(Visitor(context, api, site))
        servers.append(api)
        return visitors[-1]

    yield arriving
    for visitor in visitors:
        visitor.context.close()
        assert visitor.foreign == []
    for server in servers:
        assert server.referrers == []


@pytest.fixture(scope="module")
def serving(clerk_js: dict[str, Path]) -> Iterator[FrontendApi]:
    """A fake Frontend API and the plain landing page, with and without a redirect."""
    pages = {
        path: landing_page(publishable_key=PUBLISHABLE_KEY, redirect=redirect, frontend_api="/__clerk")
        for path, redirect in (("/welcome", None), ("/welcome/redirect", "/cart?from=mail"))
    }
    pages["/welcome/direct"] = landing_page(publishable_key=PUBLISHABLE_KEY, redirect=None)
    pages["/account"] = "<title>Account</title><link rel=icon href=data:,><h1>One more step</h1>"
    pages["/cart"] = "<title>Cart</title><link rel=icon href=data:,><h1>Your cart</h1>"
    with FrontendApi(clerk_js, pages) as api:
        yield api


@pytest.fixture
def api(serving: FrontendApi) -> FrontendApi:
    """The same, for one test."""
    serving.forget()
    return serving
