"""The landing page under Next.js: built with both majors of @clerk/nextjs and both routers, and run in Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from campaign.landing import next_page
from support import TESTS
from support.browser import npm
from support.browser.frontend_api import PUBLISHABLE_KEY, FrontendApi
from support.browser.visitor import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Route

    from support.browser.visitor import Arrive

pytestmark = [pytest.mark.browser, pytest.mark.nextjs]

SOURCES = TESTS / "support/browser/next"
MIA, TOM = "user_2xk11oHUGCiczMSpxkMzN5E6EUC", "user_2xK5kN1LZTSj1OLXdIWz47woEu6"

_TYPESCRIPT = {"typescript": "5.9.3", "@types/node": "20.19.43", "@types/react": "19.3.0", "@types/react-dom": "19.3.0"}
DEPENDENCIES = {
    "7": {"@clerk/nextjs": "7.9.17", "next": "16.4.6", "react": "19.3.1", "react-dom": "19.3.1", **_TYPESCRIPT},
    "6": {"@clerk/nextjs": "6.39.8", "next": "15.5.29", "react": "19.3.1", "react-dom": "19.3.1", **_TYPESCRIPT},
}
#: Public variables are compiled in when the page is built.
ENVIRONMENT = {
    "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": PUBLISHABLE_KEY,
    "NEXT_PUBLIC_CLERK_PROXY_URL": "/__clerk",
    "NEXT_PUBLIC_CLERK_TELEMETRY_DISABLED": "1",
    "NEXT_TELEMETRY_DISABLED": "1",
    "NEXT_IGNORE_INCORRECT_LOCKFILE": "1",
}
#: What each major also needs: 6 does not take its script from the proxy, 7 needs no components.
FOR_MAJOR = {
    "6": {"NEXT_PUBLIC_CLERK_JS_URL": "/__clerk/npm/@clerk/clerk-js@5/dist/clerk.browser.js"},
    "7": {"NEXT_PUBLIC_CLERK_PREFETCH_UI": "false"},
}


class Site:
    """A built and running Next.js site, and its fake Frontend API."""

    def __init__(self, url: str, api: FrontendApi) -> None:
        self.url = url
        self.api = api


@pytest.fixture(scope="module", params=["7", "6"])
def site(request: pytest.FixtureRequest, clerk_js: dict[str, Path]) -> Iterator[Site]:
    major = request.param
    with FrontendApi(clerk_js, {}) as api, npm.only_one(npm.cache() / f"nextjs-{major}"):
        folder = npm.project(f"nextjs-{major}", DEPENDENCIES[major])
        environment = {**os.environ, **ENVIRONMENT, **FOR_MAJOR[major], "FRONTEND_API": api.url}
        lay_out(folder)
        next_js = ["node", "node_modules/next/dist/bin/next"]
        built = subprocess.run(
            [*next_js, "build"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert built.returncode == 0, built.stdout + built.stderr
        with serving([*next_js, "start", "-H", "127.0.0.1"], folder, environment) as url:
            yield Site(url, api)


def headers_of(page: str) -> str:
    """Return the function `headers` that the page's first lines advise, for both pages of the test."""
    _, function, rest = page.partition("//   async headers() {")
    assert function
    body, _, _ = rest.partition("//   },")
    return "async headers() {" + body.replace("\n//", "\n").replace("/welcome", "/(app-router|pages-router)") + "},"


def lay_out(folder: Path) -> None:
    """Copy the pages and their configuration into a project, replacing those of an earlier run."""
    for old in ("app", "pages", ".next", "next-env.d.ts"):
        shutil.rmtree(folder / old, ignore_errors=True)
    pages = {
        "app/app-router/page.tsx": next_page(router="app", redirect=None, renew="/renew"),
        "pages/pages-router.jsx": next_page(router="pages", redirect=None, renew="/renew"),
        # without Clerk, whose requests would carry the address of this page
        "public/cart.html": "<title>Cart</title><link rel=icon href=data:,><h1>Your cart</h1>",
        "app/layout.tsx": (SOURCES / "layout.tsx").read_text(),
        "pages/_app.jsx": (SOURCES / "_app.jsx").read_text(),
        "next.config.mjs": (SOURCES / "next.config.mjs")
        .read_text()
        .replace("/* headers */", headers_of(next_page(router="app", redirect=None))),
        "tsconfig.json": (SOURCES / "tsconfig.json").read_text(),
    }
    for name, text in pages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@contextmanager
def serving(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run the built site on a free port for as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [*command, "-p", str(port)], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            assert any("Ready" in line for line in server.stdout), "next start ended before it was ready"
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            server.stdout.read()


@pytest.fixture(params=["/app-router", "/pages-router"])
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_whole_way(arrive: Arrive, site: Site, path: str) -> None:
    """One click signs in and survives a reload; elsewhere the link counts as used."""
    ticket = site.api.issue(MIA, email="mia@example.com")
    visitor = arrive(site.api, site=site.url)
    visitor.open(ticket, path, hint="m…@example.com").sees("ready")
    assert site.api.tickets[ticket].status == "pending"
    assert visitor.press("Continue as m…@example.com").sees("signed_in").endswith("Signed in as mia@example.com")
    assert visitor.address == f"{path}?cart=C-1"
    visitor.page.reload()
    assert "mia@example.com" in visitor.sees("signed_in")
    visitor.page.wait_for_load_state("networkidle")
    assert visitor.address == f"{path}?cart=C-1"
    other = arrive(site.api, site=site.url)
    other.open(ticket, path).sees("ready")
    assert "already used" in other.press("Continue").sees("used")


@pytest.mark.parametrize("fragment", [False, True])
def test_the_token_leaves_the_address_at_once(arrive: Arrive, site: Site, path: str, fragment: bool) -> None:
    """Before Next's scripts run the token is out of the address, and it never comes back: not by Next, not by back."""
    ticket = site.api.issue(MIA)
    visitor = arrive(site.api, site=site.url)
    visitor.page.route("**/_next/static/**/*.js", lambda route: route.abort())
    visitor.open(ticket, path, fragment=fragment)
    assert visitor.address == f"{path}?cart=C-1"
    visitor.page.unroute_all()
    visitor.page.reload()
    visitor.sees("ready")
    assert ticket not in visitor.page.evaluate("JSON.stringify([location.href, history.state])")
    visitor.press("Continue").sees("signed_in")
    visitor.page.wait_for_load_state("networkidle")
    assert ticket not in visitor.page.evaluate("JSON.stringify([location.href, history.state, {...sessionStorage}])")
    visitor.page.go_back()
    assert ticket not in visitor.page.url


def test_without_the_early_script_the_page_takes_the_token(arrive: Arrive, site: Site, path: str) -> None:
    """Where the storage is refused the page takes the token out of the address itself, and keeps it until the click."""
    ticket = site.api.issue(MIA)
    visitor = arrive(site.api, site=site.url)
    visitor.page.add_init_script('Object.defineProperty(window, "sessionStorage", {get() { throw new Error(); }})')
    visitor.open(ticket, path).sees("ready")
    assert ticket not in visitor.page.evaluate("JSON.stringify([location.href, history.state])")
    visitor.press("Continue").sees("signed_in")


def test_the_advised_headers_are_sent(arrive: Arrive, site: Site, path: str) -> None:
    """The function `headers` of the page's first lines works, and keeps the page out of foreign frames."""
    answer = arrive(site.api, site=site.url).page.goto(f"{site.url}{path}")
    assert answer is not None
    sent = answer.headers
    assert sent["content-security-policy"] == "frame-ancestors 'none'"
    assert (sent["referrer-policy"], sent["cache-control"]) == ("no-referrer", "no-store")


def test_a_task_that_is_left_comes_first(arrive: Arrive, site: Site, path: str) -> None:
    """A session with a task left is not called signed in: the page says what is left, and has a link there."""
    visitor = arrive(site.api, site=site.url)
    visitor.open(site.api.issue(MIA, task="choose-organization"), path).sees("ready")
    assert "choose the organization" in visitor.press("Continue").sees("task")
    place = visitor.page.get_by_role("link", name="Go to this step").get_attribute("href") or ""
    assert place.startswith(f"{site.api.url}/account")
    assert "#/tasks/choose-organization" in place
    visitor.page.reload()
    assert "choose the organization" in visitor.sees("task")


def test_a_dead_link_can_be_replaced(arrive: Arrive, site: Site, path: str) -> None:
    """Where the link is expired and said for whom, a form posts its tag; without a tag there is no form."""
    visitor, posted = arrive(site.api, site=site.url), []

    def answer(route: Route) -> None:
        posted.append((route.request.method, route.request.post_data))
        route.fulfill(body="<title>x</title><h1>Look into your inbox</h1>", content_type="text/html")

    visitor.page.route("**/renew", answer)
    visitor.open(site.api.issue(MIA, status="ticket_expired_code"), path).sees("ready")
    assert "Reply to the email" in visitor.press("Continue").sees("expired")
    assert visitor.page.locator("form").count() == 0
    tag = "A" * 34
    visitor.open(site.api.issue(MIA, status="ticket_expired_code"), f"{path}?renew={tag}&x=").sees("ready")
    assert tag not in visitor.page.url
    assert "Ask for a new link" in visitor.press("Continue").sees("expired")
    visitor.press("Send me a new link").page.get_by_role("heading", name="Look into your inbox").wait_for()
    assert posted == [("POST", f"tag={tag}")]


def test_switching_accounts(arrive: Arrive, site: Site, path: str) -> None:
    """A user who is signed in and opens another user's link is asked, and may switch."""
    visitor = arrive(site.api, site=site.url)
    visitor.signs_in(site.api.issue(MIA), path)
    ticket = site.api.issue(TOM)
    visitor.open(ticket, path).sees("already_other")
    assert site.api.tickets[ticket].status == "pending"
    assert visitor.press("Switch account").sees("signed_in").endswith(TOM)
    visitor.page.reload()
    assert visitor.sees("signed_in").endswith(TOM)


@pytest.mark.parametrize("fragment", [False, True])
def test_a_link_leads_to_its_own_path(arrive: Arrive, site: Site, path: str, fragment: bool) -> None:
    """A cart's or an answer's link leads to its path after the sign-in; who is signed in already gets there, too."""
    visitor = arrive(site.api, site=site.url)
    visitor.open(site.api.issue(MIA), path, onward="%2Fcart.html%3Fanswer%3D4", fragment=fragment).sees("ready")
    visitor.page.reload()
    visitor.sees("ready")
    visitor.press("Continue").page.wait_for_url(f"{site.url}/cart.html?answer=4")
    visitor.page.get_by_role("heading", name="Your cart").wait_for()
    second = site.api.issue(MIA)
    visitor.open(second, path, onward="%2Fcart.html%3Fanswer%3D5", fragment=fragment).sees("already_same")
    visitor.page.wait_for_url(f"{site.url}/cart.html?answer=5")
    assert site.api.tickets[second].status == "pending"


def test_no_link_leads_to_another_site(arrive: Arrive, site: Site, path: str) -> None:
    """Where `next` is no path of the site, the page goes nowhere; what it takes for one is offered as it is written."""
    visitor = arrive(site.api, site=site.url)
    visitor.signs_in(site.api.issue(MIA), path)
    onward = visitor.page.get_by_role("link", name="Go on")
    for elsewhere in ELSEWHERE:
        visitor.open(site.api.issue(MIA), path, onward=elsewhere).sees("already_same")
        assert onward.count() == 0, elsewhere
    visitor.open(site.api.issue(MIA), path, onward="/cart.html").sees("already_same")
    assert onward.get_attribute("href") == "/cart.html"
