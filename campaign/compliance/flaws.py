"""Find what a rendered message has that readers do not see as it was meant: `flaws_of`."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from campaign.compliance.client_support import DROPPED_ELEMENTS, MAX_STYLE_BYTES, dropped_css
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from campaign.compliance.client_support import Dropped

#: Letters of a subject that a phone shows: measured from 33 (Gmail on Android) to 48 (Apple Mail on an iPhone),
#: https://www.emailtooltester.com/en/blog/email-subject-lines-character-limit/. More is clipped on all of them.
SUBJECT_WIDTH = 48
_SCHEME = re.compile(r"[\x00-\x20]*([a-z][a-z0-9+.-]*):", re.IGNORECASE)
#: What a mail may refer to besides https pages.
_HARMLESS = frozenset({"https", "mailto", "tel", "sms", "cid", "data"})
_REFERRING = ("href", "src", "background", "action")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_STYLE = re.compile(r"<style\b[^>]*>(.*?)</style\s*>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"""<[a-zA-Z](?:[^>"']|"[^"]*"|'[^']*')*>""")
_IN_TEXT = re.compile(r"http://[^\s<>\"')\]]+", re.IGNORECASE)


class Flaw(NamedTuple):
    """A flaw, the same for all messages that have it."""

    text: str
    advice: str
    rule: str
    #: A regular expression that finds its place in a template.
    pattern: str


_NO_ALT = Flaw(
    "an <img> has no alt, so readers without images see nothing in its place",
    'write alt="…", or alt="" where the image is decoration',
    "WCAG 2.2 §1.1.1",
    r"<img\b(?![^>]*\balt\b)[^>]*>",
)
_LONG_STYLE = Flaw(
    f"<style> has more than {MAX_STYLE_BYTES // 1024} kB, and Gmail reads no more",
    "shorten it, or write rules as style attributes",
    "https://www.caniemail.com/features/html-style",
    r"<style\b",
)


def flaws_of(html: str, text: str) -> frozenset[Flaw]:
    """Return the flaws of a message's rendered bodies.

    Args:
        html: the HTML part, after its CSS was inlined.
        text: the text part.
    """
    shown = _COMMENT.sub("", html)
    sheets = tuple(_STYLE.findall(shown))
    found = {flaw for tag in set(_TAG.findall(shown)) for flaw in _flaws_of_tag(tag)}
    found.update(map(_flaw_of, dropped_css(sheets, "")))
    found.update(map(_insecure, _IN_TEXT.findall(text)))
    if sum(len(sheet.encode("utf-8", "replace")) for sheet in sheets) > MAX_STYLE_BYTES:
        found.add(_LONG_STYLE)
    if "<v:" in html:  # VML: Outlook on Windows gets its own background
        found = {flaw for flaw in found if not flaw.rule.endswith("/css-background-image")}
    return frozenset(found)


def width(subject: str) -> int:
    """Return how many columns a subject takes: a wide letter or an emoji counts as two, a combining mark as none."""
    return sum(
        0
        if unicodedata.combining(letter) or unicodedata.category(letter) == "Cf"
        else 2
        if unicodedata.east_asian_width(letter) in "WF"
        else 1
        for letter in subject
    )


@lru_cache(maxsize=4096)  # nearly all tags are the same for every recipient
def _flaws_of_tag(tag: str) -> frozenset[Flaw]:
    return frozenset(flaw for name, attributes in _Tag(tag).found for flaw in _flaws(name, attributes))


def _flaws(name: str, attributes: Mapping[str, str]) -> Iterator[Flaw]:
    if name == "img" and "alt" not in attributes:
        yield _NO_ALT
    for each in _REFERRING:
        url = attributes.get(each, "")
        scheme = _SCHEME.match(url)
        if scheme is not None and scheme[1].lower() not in _HARMLESS:
            yield _insecure(url)
    if name in DROPPED_ELEMENTS and (name != "link" or "stylesheet" in attributes.get("rel", "").lower().split()):
        yield _flaw_of(DROPPED_ELEMENTS[name])
    if "style" in attributes:
        yield from map(_flaw_of, dropped_css((), attributes["style"]))


class _Tag(HTMLParser):
    """Parses a start tag."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        #: The element's name and its attributes, of which the first of a name counts.
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(tag)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Store the tag."""
        self.found.append((tag, {name: value or "" for name, value in reversed(attrs)}))


def _flaw_of(feature: Dropped) -> Flaw:
    return Flaw(
        f"{feature.name} is dropped by {feature.by}",
        feature.instead,
        f"https://www.caniemail.com/features/{feature.page}",
        feature.pattern,
    )


def _insecure(url: str) -> Flaw:
    """Return the flaw of an address that is not https; it shows the host alone, since the query may be personal."""
    try:
        parts = urlsplit(url.strip())
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else f"{parts.scheme}:"
    except ValueError:
        shown = url.strip().partition(":")[0] + ":"
    shown = printable(shown)[:100]
    return Flaw(
        f"{shown} is not https, so the way to it can be read and changed, and mail programs warn of it",
        "write https://",
        "RFC 9325 §3.2",
        re.escape(shown),
    )
