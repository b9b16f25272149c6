"""The report in a real browser: on a phone and a desktop, in light and dark mode, and printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.log_history import LogHistory
from support.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

_BACKGROUND = "getComputedStyle(document.querySelector('.card')).backgroundColor"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with addresses, of a campaign in three batches; made before Playwright starts its event loop."""
    workspace = Workspace(tmp_path_factory.mktemp("past")).write(3, more='[limits]\nmessages = "25/second"\n')
    workspace.environment["CAMPAIGN_LOG"] = str(workspace.log)
    LogHistory(workspace.log, recipients=900).write()
    answer = workspace.campaign("report", "campaign.toml", "--html", "report.html", "--with-addresses")
    assert answer.returncode == 0, answer.stderr
    return workspace.folder / "report.html"


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_page_fits(report: Path, chromium: Browser, width: int) -> None:
    """At any width nothing overflows, nothing is fetched, and the browser reports no error."""
    context = chromium.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: complaints.append(request.url))
    page.goto(report.as_uri())
    assert complaints == [report.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    outside: list[Any] = page.evaluate(
        """[...document.querySelectorAll(".plot text, .axis text, .card h3, .card p")]
        .filter(each => getComputedStyle(each).display !== "none")
        .filter(each => {
            const [word, card] = [each.getBoundingClientRect(), each.closest(".card").getBoundingClientRect()];
            return word.left < card.left || word.right > card.right + 1;
        }).map(each => each.textContent)"""
    )
    assert outside == []
    context.close()


def test_words_under_a_chart_do_not_meet(report: Path, chromium: Browser) -> None:
    """The time labels under a chart do not overlap, on a phone or a desktop."""
    for width in (320, 390, 768, 1280):
        context = chromium.new_context(viewport={"width": width, "height": 900})
        page = context.new_page()
        page.goto(report.as_uri())
        meeting: list[Any] = page.evaluate(
            """[...document.querySelectorAll(".plot")].flatMap(plot => {
                const words = [...plot.children].filter(each => each.matches("text.first, text.middle, text.last"))
                    .filter(each => getComputedStyle(each).display !== "none")
                    .map(each => [each.textContent, each.getBoundingClientRect()]);
                return words.flatMap(([a, one], i) => words.slice(i + 1)
                    .filter(([, other]) => one.left < other.right && other.left < one.right
                        && one.top < other.bottom && other.top < one.bottom)
                    .map(([b]) => `${a} meets ${b}`));
            })"""
        )
        assert meeting == [], width
        context.close()


def test_dark_where_the_reader_wants_it_and_never_on_paper(report: Path, chromium: Browser) -> None:
    """The page follows the reader's colour scheme on the screen, and is light when printed."""
    context = chromium.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.evaluate(_BACKGROUND) == "rgb(24, 27, 32)"
    page.emulate_media(media="print")
    assert page.evaluate(_BACKGROUND) == "rgb(255, 255, 255)"
    page.emulate_media(media="screen", color_scheme="light")
    assert page.evaluate(_BACKGROUND) == "rgb(255, 255, 255)"
    context.close()
