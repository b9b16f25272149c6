"""Act as a person in a browser who opens the landing page, reads it and presses its buttons: `Visitor`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Route

    from support.browser.frontend_api import FrontendApi

    #: The type of the fixture `arrive`, which returns a new visitor of an API.
    Arrive = Callable[..., "Visitor"]

#: Values of `next`, as an address holds them, by which a page could be made to leave the site.
ELSEWHERE = [
    "//evil.example",
    "%2F%2Fevil.example",
    "/%2Fevil.example",
    "%2F%252Fevil.example",
    "/\\evil.example",
    "%2F%5Cevil.example",
    "%2F%255Cevil.example",
    "/cart%5C",
    "%2F%09%2Fevil.example",
    "%2F%0A%2Fevil.example",
    "%2F%2509/evil.example",
    "%09//evil.example",
    "%20//evil.example",
    "/..//evil.example",
    "/%2e%2e//evil.example",
    "%2F.%2F%2Fevil.example",
    "%2F%252e%252e%2F%2Fevil.example",
    "https://evil.example/",
    "https%3A%2F%2Fevil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "%01javascript:alert(1)",
    "data:text/html,x",
    "cart",
    "%2Fcart%25",
    "%2F%25ff",
    "%2Fcart%0d%0aSet-Cookie:x",
]

#: The contrast of each text with its background (WCAG 2.2, relative luminance).
CONTRASTS = """() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return color === "rgba(0, 0, 0, 0)" ? ground(element.parentElement) : color;
  };
  return [...document.querySelectorAll("h1, p, code, button")].map((element) => {
    const [low, high] = [light(getComputedStyle(element).color), light(ground(element))].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  });
}"""


class Visitor:
    """One tab on the landing page of an API.

    Attributes:
        foreign: the blocked requests to other machines.
        complaints: errors on the console, from the page's policy or from its script.
    """

    def __init__(self, context: BrowserContext, api: FrontendApi, site: str | None = None) -> None:
        self.context = context
        self.site = site or api.url
        self.page: Page = context.new_page()
        self._known: tuple[str, ...] = (self.site, "data:", "blob:")
        self.foreign: list[str] = []
        self.complaints: list[str] = []
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._look_at(request.url))

    def reach(self, origin: str, place: str) -> None:
        """Answer requests to a foreign origin from an address on this machine."""
        self._known += (origin,)

        def relay(route: Route) -> None:
            answer = route.fetch(url=place + route.request.url.removeprefix(origin))
            allowed = {"access-control-allow-origin": self.site, "access-control-allow-credentials": "true"}
            route.fulfill(response=answer, headers=answer.headers | allowed)

        self.page.route(f"{origin}/**", relay)

    def _listen(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.complaints.append(said.text)

    def _look_at(self, url: str) -> None:
        if not url.startswith(self._known):
            self.foreign.append(url)

    def open(
        self, ticket: str | None, path: str = "/welcome", *, hint: str = "", onward: str = "", fragment: bool = False
    ) -> Visitor:
        """Open the link of an email: its token stands in the query or in the fragment; `onward` is `next`, encoded."""
        link = f"{path}?cart=C-1"
        if onward:
            link += f"&next={onward}"
        if hint:
            link += f"&hint={quote(hint, safe='')}"
        if ticket is not None:
            link += f"{'#' if fragment else '&'}token={ticket}"
        self.page.goto(self.site + link)
        return self

    def sees(self, state: str) -> str:
        """Wait until the page is in a state, and return the text of its status element."""
        self.page.locator(f"[data-state={state}]").wait_for(timeout=15_000)
        return self.page.get_by_role("status").inner_text().replace("\n\n", "\n")

    def press(self, label: str) -> Visitor:
        """Press a button."""
        self.page.get_by_role("button", name=label, exact=True).click()
        return self

    def signs_in(self, ticket: str, path: str = "/welcome") -> str:
        """Open the link, press its button, and return the text of the status element."""
        self.open(ticket, path).sees("ready")
        return self.press("Continue").sees("signed_in")

    def browser_name(self) -> str:
        """Return the id by which Clerk knows this browser."""
        cookies = {cookie["name"]: cookie["value"] for cookie in self.context.cookies()}
        return str(cookies["__clerk_db_jwt"])

    @property
    def address(self) -> str:
        """The address in the address bar, without the host."""
        return self.page.url.removeprefix(self.site)
