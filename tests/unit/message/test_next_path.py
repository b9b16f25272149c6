"""`link_to` with a path: it leads to `link.url`, and the landing page goes on to that path of the same site."""

from __future__ import annotations

from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.errors import RowError, TemplateError
from campaign.message.links import LinkBuilder
from campaign.message.next_path import next_path

PATHS = [
    "/",
    "/cart/C-1?answer=4",
    "/cart/C%20%C3%A9?q=100%25#items",
    "/grüße",
    "/a//b",
    "/c?x=//evil.example",
    "/@evil.example",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("parameter", ["token", "#token"])
def test_a_path_stands_beside_the_token(path: str, parameter: str) -> None:
    """The link leads to `link.url` with the whole path in `next`, whether the token stands in query or fragment."""
    links = LinkBuilder("https://acme.example/in?a=1", parameter, hint=True)
    parts = urlsplit(links.link_to(path, "T", "ada@example.com"))
    carried = parse_qs(parts.query) | parse_qs(parts.fragment)
    assert (parts.netloc, parts.path) == ("acme.example", "/in")
    assert carried == {"a": ["1"], "next": [path], "token": ["T"], "hint": ["a…@example.com"]}


def test_how_such_a_link_is_written() -> None:
    """The path is percent-encoded and stands before the token, so that no link is the beginning of another one."""
    links = LinkBuilder("https://acme.example/in#top", "token")
    assert links.link_to("/cart?answer=4", "T") == "https://acme.example/in?next=%2Fcart%3Fanswer%3D4&token=T#top"
    assert not links.link_to("/cart", "T").startswith(links.link({}, "T").removesuffix("#top"))


def test_the_variables_of_the_link_hold_for_it_too() -> None:
    """A `link.url` with variables is rendered for the row; without them the error names the column."""
    links = LinkBuilder("https://acme.example/{{ shop }}", "token")
    assert links.link_to("/cart", "T", variables={"shop": "a b"}) == "https://acme.example/a%20b?next=%2Fcart&token=T"
    with pytest.raises(TemplateError, match=r"^link\.url: The variable shop does not exist"):
        links.link_to("/cart", "T")


def test_a_next_of_its_own_is_refused() -> None:
    """A `link.url` that already has a parameter `next` is a problem, also where a template writes it."""
    with pytest.raises(TemplateError, match=r"^link\.url: .* already has a parameter next"):
        LinkBuilder("https://acme.example/?next=/cart", "token")
    with pytest.raises(RowError, match="already has a parameter next"):
        LinkBuilder("https://acme.example/?{{ x }}=/cart", "token").link({"x": "next"}, "T")
    own = LinkBuilder("https://acme.example/", "token")
    assert own.link_to("https://acme.example/in?next=/a", "T") == "https://acme.example/in?next=/a&token=T"


UNSAFE = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "/cart\\x",
    "/\t/evil.example",
    "/\n/evil.example",
    "/cart\r\nSet-Cookie: x",
    "/\0",
    "/\x85",
    "/%2Fevil.example",
    "/%2f%2fevil.example",
    "/%5Cevil.example",
    "/cart%0d%0aSet-Cookie:x",
    "/%09/evil.example",
    "/..//evil.example",
    "/%2e%2E//evil.example",
    "/./cart",
    "/a b",
    '/"><script>',
    "/%",
    "/%zz",
    "/%ff",
    "/a;b",
    "/a[1]",
    "/\u202e",
    "/\ud800",
    "/{{ link }}",
]


@pytest.mark.parametrize("path", UNSAFE)
def test_a_path_that_could_leave_the_site_is_refused(path: str) -> None:
    """What browsers or servers could read as another host, also once decoded, gets a sentence without the token."""
    with pytest.raises(RowError, match=r"^The path .*\.$") as caught:
        LinkBuilder("https://acme.example/in", "token").link_to(path, "secret-token")
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize(
    "place", ["javascript:alert(1)", "https://evil.example/", "evil.example/cart", "data:text/html,x"]
)
def test_other_places_are_no_paths(place: str) -> None:
    """A scheme, another origin and a path without its / get a sentence."""
    with pytest.raises(RowError, match=r"path that begins with /|link\.hosts"):
        LinkBuilder("https://acme.example/in", "token").link_to(place, "T")


@given(st.text(alphabet=st.one_of(st.sampled_from("/\\.%2fF5cC0aA9:@?#\t\n evil"), st.characters()), max_size=12))
def test_no_path_leaves_the_site(tail: str) -> None:
    """Whatever a path holds, it is refused, or leads to the site that the browser is on."""
    try:
        path = next_path(f"/{tail}")
    except RowError:
        return
    assert urlsplit(urljoin("https://acme.example/in", path)).netloc == "acme.example"
    assert not urlsplit(urljoin("https://acme.example/in", path)).path.startswith("//")
