"""The whole way in Chromium: a campaign is run in the sandbox, its mail opened in the inbox, its link clicked."""

from __future__ import annotations

import re
import shutil
import signal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from campaign.sandbox.clerkjs import RELEASES, SHIPPED
from support.browser.visitor import CONTRASTS
from support.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page, Request

    Visit = Callable[..., BrowserContext]

pytestmark = pytest.mark.browser

HTML = """<!doctype html>
<html><head><meta name="color-scheme" content="light dark">
<style>
  :root { color-scheme: light dark }
  p { color: #111111 }
  @media (prefers-color-scheme: dark) { p { color: #eeeeee !important } }
</style></head>
<body><p id="words">Hello {{ first_name }}</p><p><a href="{{ link }}">Come in</a></p>
<img src="https://elsewhere.example/pixel.png" alt=""></body></html>
"""


PATHS = """<p>Hello {{ first_name }}</p><p><a href="{{ link_to("/cart/C-" ~ user_id) }}">My cart</a></p>
{% for n in range(1, 6) %}<a href="{{ link_to("/survey?answer=" ~ n) }}">{{ n }} of 5</a>{% endfor %}"""


class Served:
    """A campaign that was run in the sandbox, and its inbox that is being served."""

    def __init__(self, campaign: Workspace, *, people: int, html: str = HTML, more: str = "") -> None:
        self.campaign = campaign
        if people:
            campaign.write(people, html=html, more=more)
            answer = campaign.run()
            assert answer.returncode == 0, answer.stderr
        self.process = campaign.start("sandbox", "--port", "0", "--smtp-port", "0")
        assert self.process.stdout is not None
        said = self.process.stdout.readline() + self.process.stdout.readline()
        found = re.search(r"Inbox: (\S+)", said)
        assert found is not None, said
        self.url = found[1]

    def stop(self) -> None:
        """Send Ctrl-C and wait for the end."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)


def campaign_in(folder: Path, clerk_js: dict[str, Path]) -> Workspace:
    """Return a campaign whose sandbox already has clerk-js."""
    kept = folder / ".campaign" / "clerk-js"
    if not SHIPPED.is_dir():
        kept.parent.mkdir(mode=0o700)
        shutil.copytree(clerk_js["6"], kept / RELEASES["6"])
    return Workspace(folder)


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory, clerk_js: dict[str, Path]) -> Iterator[Served]:
    """An inbox with mails to eight people, one for each test that needs one."""
    served = Served(campaign_in(tmp_path_factory.mktemp("inbox"), clerk_js), people=8)
    yield served
    served.stop()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Return a new browser each time, and check at the end that none requested anything outside this machine."""
    contexts: list[BrowserContext] = []
    asked: list[str] = []
    # Chromium reports a request that the policy blocks as a failed request.
    stopped: list[str] = []

    def failed(request: Request) -> None:
        if request.failure == "csp":
            stopped.append(request.url)

    def visiting(**options: Any) -> BrowserContext:  # noqa: ANN401 - Playwright's
        context = chromium.new_context(**options)
        context.set_default_timeout(20_000)
        context.on("request", lambda request: asked.append(request.url))
        context.on("requestfailed", failed)
        contexts.append(context)
        return context

    yield visiting
    for context in contexts:
        context.close()
    strangers = [url for url in asked if url.startswith("http") and urlsplit(url).hostname != "127.0.0.1"]
    assert strangers == stopped


def open_mail(context: BrowserContext, inbox: Served, person: int) -> Page:
    """Open the inbox and the mail of a person in its list."""
    page = context.new_page()
    page.goto(inbox.url)
    page.get_by_role("link", name=f"u{person}@").click()
    page.frame_locator("iframe").get_by_text(f"Hello Name {person}").wait_for()
    page.wait_for_load_state()  # before that, elements may move under a click
    return page


def follow(page: Page, name: str = "Come in") -> Page:
    """Click a link of the mail as its recipient would, and return the new tab."""
    with page.context.expect_page() as opening:
        page.frame_locator("iframe").get_by_role("link", name=name).click()
    return opening.value


def sees(landing: Page, state: str) -> str:
    """Wait for a state of the landing page and return what it announces."""
    landing.locator(f"[data-state={state}]").wait_for()
    return landing.get_by_role("status").inner_text()


def fate(page: Page) -> str:
    """Return the state of the mail's token as the page shows it."""
    return page.locator(".token .chip").inner_text()


def test_from_the_mail_to_being_signed_in(inbox: Served, visit: Visit) -> None:
    """A person who clicks the mail's link is signed in and stays so, and the open inbox shows the token as used."""
    page = open_mail(visit(), inbox, 0)
    landing = follow(page)
    sees(landing, "ready")
    assert landing.url == f"{inbox.url}/welcome"
    assert fate(page) == "pending"
    landing.get_by_role("button", name="Continue as u…@").click()
    assert "Signed in as u0@" in sees(landing, "signed_in")
    landing.reload()
    assert "Signed in as u0@" in sees(landing, "signed_in")
    assert landing.url == f"{inbox.url}/welcome"
    page.locator(".token .fate-used").wait_for()
    assert page.get_by_role("button", name="revoked").count() == 0


def test_the_same_link_in_another_browser_is_used(inbox: Served, visit: Visit) -> None:
    """A link that was used to sign in is shown as used in a second browser."""
    page = open_mail(visit(), inbox, 1)
    url = page.get_by_role("link", name="Open the link").get_attribute("href") or ""
    first = follow(page)
    sees(first, "ready")
    first.get_by_role("button", name="Continue").click()
    sees(first, "signed_in")
    second = visit().new_page()
    second.goto(url)
    sees(second, "ready")
    second.get_by_role("button", name="Continue").click()
    assert "already used" in sees(second, "used")


@pytest.mark.parametrize("parameter", ["token", "#token"])
def test_a_cart_and_an_answer_are_not_lost(
    tmp_path: Path, clerk_js: dict[str, Path], visit: Visit, parameter: str
) -> None:
    """A click on a cart's link or on an answer leads to its own path, signed out and, by the same mail, signed in."""
    campaign = campaign_in(tmp_path, clerk_js)
    served = Served(campaign, people=1, html=PATHS, more=f'parameter = "{parameter}"\n')
    try:
        page = open_mail(visit(), served, 0)
        landing = follow(page, "My cart")
        sees(landing, "ready")
        assert landing.url.startswith(f"{served.url}/welcome?next=%2Fcart%2FC-user_0")
        assert "eyJ" not in landing.url
        landing.get_by_role("button", name="Continue as u…@").click()
        landing.wait_for_url(f"{served.url}/cart/C-user_0")
        assert "Signed in as u0@" in sees(landing, "signed_in")
        page.locator(".token .fate-used").wait_for()
        answer = follow(page, "4 of 5")
        sees(answer, "already_same")
        answer.wait_for_url(f"{served.url}/survey?answer=4")
        assert "Signed in as u0@" in sees(answer, "signed_in")
    finally:
        served.stop()


def test_the_first_click_on_an_answer_signs_in_and_answers(
    visit: Visit, tmp_path: Path, clerk_js: dict[str, Path]
) -> None:
    """In the sample survey the first answer clicked signs in and goes on to its own path, as does a second thought."""
    campaign = campaign_in(tmp_path, clerk_js)
    assert campaign.campaign("new", "ask", "--like", "survey").returncode == 0
    assert campaign.campaign("run", "ask/campaign.toml").returncode == 0
    served = Served(campaign, people=0)
    try:
        page = visit().new_page()
        page.goto(served.url)
        page.get_by_role("link", name="ada.moreau@").click()
        landing = follow(page, "Very hard")
        sees(landing, "ready")
        landing.get_by_role("button", name="Continue as a…@").click()
        landing.wait_for_url(f"{served.url}/survey/ease?answer=1&about=sharing%20a%20notebook")
        assert "Signed in as ada.moreau@example.com" in sees(landing, "signed_in")
        answer = follow(page, "Neither easy nor hard")
        sees(answer, "already_same")
        answer.wait_for_url(f"{served.url}/survey/ease?answer=3&about=sharing%20a%20notebook")
    finally:
        served.stop()


@pytest.mark.parametrize(("made", "person"), [("used", 2), ("revoked", 3), ("expired", 4)])
def test_a_button_shows_what_the_page_says_then(inbox: Served, visit: Visit, made: str, person: int) -> None:
    """If the inbox makes a token used, revoked or expired, its link opens a page that says so."""
    page = open_mail(visit(), inbox, person)
    page.get_by_role("button", name=made).click()
    page.locator(f".token .fate-{made}").wait_for()
    with page.context.expect_page() as opening:
        page.get_by_role("link", name="Open the link").click()
    landing = opening.value
    sees(landing, "ready")
    landing.get_by_role("button", name="Continue").click()
    sees(landing, made)


def test_an_expired_link_is_replaced_on_demand(tmp_path: Path, clerk_js: dict[str, Path], visit: Visit) -> None:
    """The whole way: the expired page's button, the next run, the second mail signs in, and the first link does not."""
    served = Served(campaign_in(tmp_path, clerk_js), people=2, more="renew = true\n")
    try:
        page = open_mail(visit(), served, 0)
        first = page.get_by_role("link", name="Open the link").get_attribute("href") or ""
        page.get_by_role("button", name="expired").click()
        page.locator(".token .fate-expired").wait_for()
        landing = page.context.new_page()
        landing.goto(first)
        sees(landing, "ready")
        assert "renew=" not in landing.url
        landing.get_by_role("button", name="Continue").click()
        assert "Ask for a new link" in sees(landing, "expired")
        landing.get_by_role("button", name="Send me a new link").click()
        landing.get_by_role("heading", name="Look into your inbox").wait_for()
        done = served.campaign.run()
        assert (done.returncode, "1 message sent" in done.stdout) == (0, True), done.stderr
        page.goto(served.url)
        assert page.locator(".mails li").count() == 3
        page.get_by_role("link", name="u0@").first.click()
        second = page.get_by_role("link", name="Open the link").get_attribute("href") or ""
        assert second.partition("token=")[2] != first.partition("token=")[2]
        landing = visit().new_page()
        landing.goto(first)
        sees(landing, "ready")
        landing.get_by_role("button", name="Continue").click()
        landing.locator("[data-tone=warn]").wait_for()
        landing.goto(second)
        sees(landing, "ready")
        landing.get_by_role("button", name="Continue as u…@").click()
        assert "Signed in as u0@" in sees(landing, "signed_in")
    finally:
        served.stop()


def test_a_forged_token_is_invalid(inbox: Served, visit: Visit) -> None:
    """A link whose token was altered is called invalid, and the real token stays pending."""
    page = open_mail(visit(), inbox, 5)
    url = page.get_by_role("link", name="Open the link").get_attribute("href") or ""
    landing = page.context.new_page()
    link, _, hint = url.partition("&hint=")
    landing.goto(f"{link[:-8]}{'BBBBBBBB' if link.endswith('AAAAAAAA') else 'AAAAAAAA'}&hint={hint}")
    sees(landing, "ready")
    landing.get_by_role("button", name="Continue").click()
    assert "It may have been cut off" in sees(landing, "invalid")
    assert fate(page) == "pending"


def test_opening_without_a_click_spends_nothing(inbox: Served, visit: Visit) -> None:
    """A scanner that opens the link in a browser and reloads the page leaves the token pending."""
    page = open_mail(visit(), inbox, 6)
    landing = follow(page)
    sees(landing, "ready")
    landing.reload()
    sees(landing, "ready")
    page.reload()
    assert fate(page) == "pending"


def test_the_frame_keeps_the_mail_apart(inbox: Served, visit: Visit) -> None:
    """The mail's frame has its own origin, and remote images are loaded only after a click."""
    page = open_mail(visit(), inbox, 7)
    assert "An image from elsewhere is not loaded" in page.inner_text("main")
    frame = page.frames[1]
    assert frame.evaluate("window.origin") == "null"
    assert frame.evaluate("document.images[0].naturalWidth") == 0


def test_phone_width_and_dark_mode_are_a_click_away(inbox: Served, visit: Visit) -> None:
    """One click makes the frame 375 pixels wide as on a phone, or tells the mail that its reader prefers dark mode."""
    page = open_mail(visit(viewport={"width": 1280, "height": 800}, color_scheme="no-preference"), inbox, 7)
    words = page.frame_locator("iframe").locator("#words")
    assert words.evaluate("(p) => getComputedStyle(p).color") == "rgb(17, 17, 17)"
    page.get_by_role("link", name="Phone").click()
    page.locator(".stage.phone").wait_for()
    assert words.evaluate("() => window.innerWidth") == 375
    page.get_by_role("link", name="Dark").click()
    page.locator(".stage.phone.dark").wait_for()
    assert words.evaluate("(p) => getComputedStyle(p).color") == "rgb(238, 238, 238)"
    assert words.evaluate("() => window.innerWidth") == 375


def test_mail_arrives_while_one_looks(tmp_path: Path, clerk_js: dict[str, Path], visit: Visit) -> None:
    """An open empty inbox shows new mails while a campaign runs elsewhere, and says when the sandbox has stopped."""
    empty = Served(campaign_in(tmp_path, clerk_js).write(2, html=HTML), people=0)
    try:
        page = visit().new_page()
        page.goto(empty.url)
        page.get_by_role("heading", name="No mail yet").wait_for()
        assert empty.campaign.run("--limit", "1").returncode == 0
        page.get_by_role("heading", name="Choose a mail").wait_for()
        assert page.locator(".mails li").count() == 1
        assert empty.campaign.run().returncode == 0
        page.locator(".mails li.fresh").wait_for()
        assert page.locator(".mails li").count() == 2
    finally:
        empty.stop()
    page.get_by_text("The sandbox has stopped").wait_for()


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (320, "dark"),
        (1280, "light"),
        pytest.param(1000, "light", marks=pytest.mark.long),
        pytest.param(320, "light", marks=pytest.mark.long),
        pytest.param(1000, "dark", marks=pytest.mark.long),
        pytest.param(1280, "dark", marks=pytest.mark.long),
    ],
)
def test_it_can_be_read_everywhere(inbox: Served, visit: Visit, scheme: str, width: int) -> None:
    """At widths from phone to desktop nothing is cut off, and all text has the contrast of WCAG 2.2 AA (4.5 to 1)."""
    context = visit(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = open_mail(context, inbox, 7)
    for view in ("", "?view=headers", "?view=source"):
        page.goto(page.url.partition("?")[0] + view)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert min(page.evaluate(CONTRASTS.replace("h1, p, code, button", "h1, h2, p, dt, dd, a, .chip, td"))) >= 4.5
