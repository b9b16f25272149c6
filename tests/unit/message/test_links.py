"""Links with a token. Whether they arrive in a message is tested in test_message.py."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.errors import TemplateError
from campaign.message.links import LinkBuilder

TOKEN = "eyJhbGciOiJSUzI1NiJ9." + "a-_" * 290 + ".sig"


def builder(source: str = "https://acme.example/welcome", *hosts: str) -> LinkBuilder:
    """Return a link builder with the parameter `token`."""
    return LinkBuilder(source, "token", hosts)


@pytest.mark.parametrize(
    ("source", "link"),
    [
        ("https://acme.example/welcome", "https://acme.example/welcome?token=T"),
        ("https://acme.example", "https://acme.example/?token=T"),
        ("https://acme.example?a=1", "https://acme.example/?a=1&token=T"),
        ("https://acme.example/w?a=1&b=%20#top", "https://acme.example/w?a=1&b=%20&token=T#top"),
        ("https://acme.example/w?", "https://acme.example/w?token=T"),
        ("https://acme.example/w#/route?x=1", "https://acme.example/w?token=T#/route?x=1"),
        ("https://acme.example:8443/grüße", "https://acme.example:8443/gr%C3%BC%C3%9Fe?token=T"),
        ("http://localhost:3000/in", "http://localhost:3000/in?token=T"),
        ("http://127.0.0.1:3000/in", "http://127.0.0.1:3000/in?token=T"),
        ("http://[::1]:3000/in", "http://[::1]:3000/in?token=T"),
    ],
)
def test_the_token_is_added_to_the_query(source: str, link: str) -> None:
    """The token becomes a query parameter; path, query and fragment stay as they are."""
    assert builder(source).link({}, "T") == link


@pytest.mark.parametrize(
    ("source", "link"),
    [
        ("https://acme.example/welcome", "https://acme.example/welcome#token=T"),
        ("https://acme.example", "https://acme.example/#token=T"),
        ("https://acme.example/w?a=1", "https://acme.example/w?a=1#token=T"),
        ("https://acme.example/w?token=old", "https://acme.example/w?token=old#token=T"),
    ],
)
def test_the_token_may_stand_in_the_fragment(source: str, link: str) -> None:
    """With `#token` the token is behind the `#`, which no server sees, in `link` and in `link_to`."""
    links = LinkBuilder(source, "#token")
    assert links.link({}, "T") == link
    assert links.link_to(source, "T") == link
    with pytest.raises(TemplateError, match="already has a fragment"):
        links.link_to(f"{source}#top", "T")


@pytest.mark.parametrize(
    ("parameter", "link"),
    [
        ("token", "https://acme.example/w?a=1&token=T&hint=a%E2%80%A6%40example.com"),
        ("#token", "https://acme.example/w?a=1&hint=a%E2%80%A6%40example.com#token=T"),
    ],
)
def test_the_hint_names_the_account(parameter: str, link: str) -> None:
    """A link carries the masked address in its query, so that the page can say whose account it opens."""
    links = LinkBuilder("https://acme.example/w?a=1", parameter, hint=True)
    assert links.link({}, "T", "ada@example.com") == link
    assert links.link_to("https://acme.example/w?a=1", "T", "ada@example.com") == link
    assert "hint" not in links.link({}, "T")
    assert "hint" not in LinkBuilder("https://acme.example/w", parameter).link({}, "T", "ada@example.com")
    with pytest.raises(TemplateError, match="already has a parameter hint"):
        links.link_to("https://acme.example/?hint=1", "T", "ada@example.com")


@pytest.mark.parametrize(
    ("parameter", "link"),
    [
        ("token", "https://acme.example/w?token=T&renew=TAG"),
        ("#token", "https://acme.example/w?renew=TAG#token=T"),
    ],
)
def test_the_tag_for_a_new_link_stands_beside_the_token(parameter: str, link: str) -> None:
    """With `renew` each link carries the tag, those of `link_to` too; without it none does."""
    links = LinkBuilder("https://acme.example/w", parameter, renew=True)
    assert links.link({}, "T", tag="TAG") == link
    assert links.link_to("https://acme.example/w", "T", tag="TAG") == link
    assert "renew=TAG" in links.link_to("/cart", "T", tag="TAG")
    assert "renew" not in LinkBuilder("https://acme.example/w", parameter).link({}, "T", tag="TAG")
    with pytest.raises(TemplateError, match="already has a parameter renew"):
        links.link_to("https://acme.example/?renew=1", "T", tag="TAG")


def test_a_long_token_arrives_byte_for_byte() -> None:
    """A token of 900 characters appears unchanged in the link."""
    assert builder().link({}, TOKEN) == f"https://acme.example/welcome?token={TOKEN}"


@given(st.text())
def test_any_token_survives(token: str) -> None:
    """Any token can be read back from the link."""
    link = builder().link({}, token)
    assert parse_qs(urlsplit(link).query, keep_blank_values=True) == {"token": [token]}


@given(st.text())
def test_variables_are_data_wherever_they_stand(value: str) -> None:
    """A variable in the path or the query can change neither the host nor the parts of the URL."""
    links = builder("https://acme.example/{{ x }}/end?a={{ x }}#{{ x }}")
    if value in {".", ".."}:  # it cannot be encoded, and would change the path
        with pytest.raises(TemplateError, match="a path segment of dots"):
            links.link({"x": value}, "T")
        return
    link = links.link({"x": value}, "T")
    parts = urlsplit(link)
    assert parts.netloc == "acme.example"
    assert parts.path.endswith("/end")
    assert unquote(parts.path) == f"/{value}/end"
    assert parse_qs(parts.query, keep_blank_values=True) == {"a": [value], "token": ["T"]}


@given(st.text())
def test_a_variable_in_the_host_cannot_leave_the_allowed_hosts(value: str) -> None:
    """A link whose host comes from data leads to an allowed host, or is refused."""
    try:
        link = builder("https://{{ x }}.acme.example/", "shop.acme.example").link({"x": value}, "T")
    except TemplateError:
        return
    assert urlsplit(link).netloc.lower() == "shop.acme.example"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://acme.example.evil.example/",
        "https://evilacme.example/",
        "https://acme.example@evil.example/",
        "https://user@acme.example/",
        "https://user:secret@acme.example/",
        "https://acme.example\\@evil.example/",
        "https://acme.example\t/",
        "https://acme.example/a b",
        "https://acme.example/\nBcc: x",
        "https://acme.example/\0",
        "https://acme.example/\u00a0",
        "https://acme.example/\u2028",
        "https://acme.example/\u202e",
        " https://acme.example/",
        "http://acme.example/",
        "//acme.example/",
        "welcome",
        "?answer=4",
        "",
        "javascript:alert(1)//acme.example/",
        "data:text/html,https://acme.example/",
        "ftp://acme.example/",
        "https:acme.example/",
        "https:///acme.example/",
        "https://acme.example:99999/",
        "https://acme.example:0/",
        "https://acme.example:x/",
        "https://acme%2Eexample/",
        "https://\u0430cme.example/",
        "https://acme.example./",
        "https://[acme.example]/",
        "https://acme.example/?token=old",
        "https://acme.example/?a=1&token=",
        'https://acme.example/"><script>',
        "https://acme.example/{{ link }}",
        "https://acme.example:444/",
        "https://acme.example/a;b/",
        "https://acme.example/cart;jsessionid=1?a=1",
        "https://acme.example/a[1]",
        "https://acme.example/a/../admin",
        "https://acme.example/..",
        "https://acme.example/%2e%2E/admin",
        "https://acme.example/./?a=1",
        "https://acme.example/\ud800",
    ],
)
def test_a_url_that_may_not_carry_a_token(url: str) -> None:
    """Foreign hosts, other schemes, user info, and URLs that parsers read differently are refused."""
    with pytest.raises(TemplateError, match=r"\.$") as caught:
        builder().link_to(url, "secret-token")
    assert "secret-token" not in str(caught.value)


def test_other_hosts_are_allowed_by_name() -> None:
    """A host of `link.hosts` may get a token, at its scheme's own port or at the one that is named."""
    links = builder("https://acme.example/", "acme.example", "Shop.example", "localhost:3000")
    assert links.link_to("https://shop.example/cart", "T") == "https://shop.example/cart?token=T"
    assert links.link_to("https://SHOP.example:443/cart", "T") == "https://SHOP.example:443/cart?token=T"
    assert links.link_to("http://localhost:3000/", "T") == "http://localhost:3000/?token=T"
    for url in ("http://localhost:3001/", "http://localhost/", "https://shop.example:444/cart"):
        with pytest.raises(TemplateError, match=r"add it to link\.hosts"):
            links.link_to(url, "T")
    own = builder("http://localhost:3000/welcome")
    assert own.link_to("http://localhost:3000/cart", "T") == "http://localhost:3000/cart?token=T"


def test_errors_of_a_url_without_variables_come_at_once() -> None:
    """A URL without variables is checked when the campaign is loaded."""
    with pytest.raises(TemplateError, match=r"^campaign\.toml: link\.url: .* must begin with https://"):
        LinkBuilder("http://acme.example/", "token", where="campaign.toml: link.url")
    with pytest.raises(TemplateError, match=r"^link\.url: "):
        builder("https://acme.example/{{ x")


def test_an_undefined_variable_in_the_url_is_named() -> None:
    """An unknown column in `link.url` is an error that suggests the nearest column."""
    with pytest.raises(TemplateError, match=r"^link\.url: The variable plce does not exist; did you mean place\?"):
        builder("https://acme.example/{{ plce }}").link({"place": "1"}, "T")


def test_a_parameter_is_percent_encoded() -> None:
    """The parameter's name is percent-encoded, and is recognised in any encoding."""
    links = LinkBuilder("https://acme.example/", "a b", ("acme.example",))
    assert links.link({}, "T") == "https://acme.example/?a%20b=T"
    with pytest.raises(TemplateError, match="already has a parameter a b"):
        links.link_to("https://acme.example/?a+b=x", "T")
