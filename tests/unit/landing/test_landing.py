from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.errors import SettingsError
from campaign.landing import frontend_api_host, landing_page, next_page


def key(host: str, kind: str = "test", end: str = "$") -> str:
    return f"pk_{kind}_{base64.b64encode(f'{host}{end}'.encode()).decode()}"


KEY = key("clerk.acme.example", "live")


def settings_of(page: str) -> dict[str, str]:
    found = re.search(r'<script type="application/json" id="settings">(.*?)</script>', page)
    assert found is not None
    settings: dict[str, str] = json.loads(found[1])
    return settings


@given(st.from_regex(r"(?:[a-z0-9]{1,20}\.){1,3}[a-z]{2,10}", fullmatch=True), st.sampled_from(["test", "live"]))
def test_the_key_names_its_host(host: str, kind: str) -> None:
    """The host is decoded from a publishable key, with and without base64 padding."""
    assert frontend_api_host(key(host, kind)) == host
    assert frontend_api_host(key(host, kind).rstrip("=")) == host


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "pk_test_",
        "pk_test_!!!!",
        "pk_other_" + KEY.removeprefix("pk_live_"),
        KEY[:-6],
        KEY + "x",
        KEY + "\n",
        key("clerk.acme.example", end=""),
        key("localhost"),
        key("127.0.0.1"),
        key("evil.example/path"),
        key("evil.example;script-src *"),
        key("user@evil.example"),
        key("-evil.example"),
        key("éclair.example"),
        "pk_test_" + base64.b64encode(b"\xff\xfe$").decode(),
    ],
)
def test_a_malformed_key_is_told(malformed: str) -> None:
    """A key that contains no host is refused with a message that says where to find the right one."""
    with pytest.raises(SettingsError, match="API keys"):
        frontend_api_host(malformed)


def test_a_secret_key_never_enters_a_page() -> None:
    """A secret key is refused as a secret key, and the message does not repeat it."""
    with pytest.raises(SettingsError, match="secret key") as refusal:
        landing_page(publishable_key="sk_live_0123456789", redirect=None)
    assert "0123456789" not in str(refusal.value)


def test_the_key_is_needed() -> None:
    """Without a key the error says how to give one."""
    with pytest.raises(SettingsError, match=r"--publishable-key .* CLERK_PUBLISHABLE_KEY"):
        landing_page(publishable_key=None, redirect=None)


def test_clerks_script_comes_from_the_instances_own_host() -> None:
    """The page loads clerk-js from the host in the key, and its Content-Security-Policy allows no other host."""
    page = landing_page(publishable_key=KEY, redirect=None)
    settings = settings_of(page)
    assert settings["script"] == "https://clerk.acme.example/npm/@clerk/clerk-js@6/dist/clerk.browser.js"
    assert settings["proxyUrl"] == ""
    assert {url for url in re.findall(r"https?://[^\s\"';<]+", page) if "/npm/" not in url} == {
        "https://clerk.acme.example"
    }


@pytest.mark.parametrize(
    ("place", "script", "source"),
    [
        ("/__clerk", "/__clerk/npm/", "'self'"),
        ("/__clerk/", "/__clerk/npm/", "'self'"),
        ("https://acme.example/__clerk", "https://acme.example/__clerk/npm/", "https://acme.example"),
        ("http://127.0.0.1:8025/__clerk", "http://127.0.0.1:8025/__clerk/npm/", "http://127.0.0.1:8025"),
    ],
)
def test_the_frontend_api_may_be_elsewhere(place: str, script: str, source: str) -> None:
    """With a proxied Frontend API the script comes from that URL, and the policy allows it."""
    page = landing_page(publishable_key=KEY, redirect=None, frontend_api=place)
    assert settings_of(page)["script"].startswith(script)
    assert settings_of(page)["proxyUrl"] == place.rstrip("/")
    assert f"connect-src {source};" in page


def test_the_policy_knows_the_pages_own_script_and_style() -> None:
    """The policy contains the hashes of the page's own script and style, so nothing else runs."""
    page = landing_page(publishable_key=KEY, redirect="/cart")
    for element in ('<script type="module">', "<script>", "<style>"):
        text = page.partition(element)[2].partition("</")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page
    assert "unsafe" not in page


def test_the_link_leaves_the_address_first() -> None:
    """The script that takes the link out of the address stands before every other one, and before Clerk's."""
    page = landing_page(publishable_key=KEY, redirect=None)
    first, *_ = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    assert "history.replaceState" in first
    assert page.index("Content-Security-Policy") < page.index(first)
    for router in ("app", "pages"):
        assert "dangerouslySetInnerHTML={{ __html: EARLY }}" in next_page(router=router, redirect=None)


def test_the_advice_names_every_header() -> None:
    """The page says to send no-store, no-referrer and `frame-ancestors 'none'`, for Next.js as a function to paste."""
    pages = [landing_page(publishable_key=KEY, redirect=None)]
    pages += [next_page(router=router, redirect=None) for router in ("app", "pages")]
    for page in pages:
        advice = page.partition("-->")[0] if page is pages[0] else page.partition("import")[0]
        for header in ("Cache-Control", "no-store", "Referrer-Policy", "no-referrer", "frame-ancestors 'none'"):
            assert header in advice


def test_the_page_keeps_the_link_to_itself() -> None:
    """The page sends no referrer, asks not to be indexed, and switches clerk-js's telemetry off."""
    page = landing_page(publishable_key=KEY, redirect=None)
    assert '<meta name="referrer" content="no-referrer">' in page
    assert '<meta name="robots" content="noindex">' in page
    assert "telemetry: false" in page


REDIRECTS = ["/", "/cart", "/cart?from=mail#items", "https://acme.example", "https://acme.example:8443/a%20b?c=d"]
BAD_REDIRECTS = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "data:text/html,x",
    "//evil.example",
    "/\\evil.example",
    "/\t/evil.example",
    "\thttps://acme.example",
    "http://acme.example",
    "https:acme.example",
    "https:///acme.example",
    "https://",
    "https://user:password@acme.example",
    "https://acme.example@evil.example",
    "https://acme.example:port",
    "cart",
    "/cart\n",
    "/</script><script>alert(1)</script>",
    '/"onload="x',
    "/`${x}`",
    "/cärt",
]


@pytest.mark.parametrize("redirect", REDIRECTS)
def test_a_redirect_is_kept_as_it_is_written(redirect: str) -> None:
    """A same-site path or an https URL appears unchanged in the plain page and in the Next.js page."""
    assert settings_of(landing_page(publishable_key=KEY, redirect=redirect))["redirect"] == redirect
    assert f'const REDIRECT: string = "{redirect}";' in next_page(router="app", redirect=redirect)
    assert f'const REDIRECT = "{redirect}";' in next_page(router="pages", redirect=redirect)


@pytest.mark.parametrize("redirect", BAD_REDIRECTS)
def test_any_other_redirect_is_refused(redirect: str) -> None:
    """A redirect that could run a script, or that leads to a host which it does not name, is refused."""
    with pytest.raises(SettingsError, match="--redirect"):
        landing_page(publishable_key=KEY, redirect=redirect)
    with pytest.raises(SettingsError, match="--redirect"):
        next_page(router="app", redirect=redirect)


@pytest.mark.parametrize(
    "place", ["__clerk", "//evil.example", "ftp://acme.example", "/__clerk?x=1", "http://acme.example"]
)
def test_any_other_frontend_api_is_refused(place: str) -> None:
    """The Frontend API must be a same-site path, an https URL or a URL of this machine."""
    with pytest.raises(SettingsError, match="Frontend API"):
        landing_page(publishable_key=KEY, redirect=None, frontend_api=place)


def test_the_parameter_is_the_campaigns() -> None:
    """Any `link.parameter` of a campaign file can be given, in the fragment too, and an invalid name is refused."""
    for parameter in ("ticket", "#ticket", "1.t~-_"):
        declared = f'const PARAMETER = "{parameter.removeprefix("#")}";'
        assert declared in landing_page(publishable_key=KEY, redirect=None, parameter=parameter)
        assert declared in next_page(router="app", redirect=None, parameter=parameter)
    with pytest.raises(SettingsError, match=r"link\.parameter"):
        landing_page(publishable_key=KEY, redirect=None, parameter='"; alert(1); "')


@pytest.mark.parametrize("router", ["app", "pages"])
def test_the_next_page_is_one_file(router: Literal["app", "pages"]) -> None:
    """The Next.js page imports only Next, React and Clerk, and no placeholder is left in it."""
    page = next_page(router=router, redirect=None)
    imported = set(re.findall(r'^import .* from "(.*)";$', page, re.MULTILINE))
    assert imported <= {"@clerk/nextjs", "react", "next/head"}
    assert not re.search(r"@(script|style|policy|settings)@|/\*[:<]", page)
    assert page.startswith('"use client";') == (router == "app")


@pytest.mark.parametrize("router", ["app", "pages"])
def test_types_stand_only_in_typescript(router: Literal["app", "pages"]) -> None:
    """One source produces page.tsx with types and accept-token.jsx without."""
    page = next_page(router=router, redirect=None)
    assert ("function linkIn(address: string): Link {" in page) == (router == "app")
    assert page.count("function linkIn(address) {") == (1 if router == "app" else 2)


@pytest.mark.parametrize(
    ("renew", "origin"),
    [
        ("https://mail.acme.example/u/renew", "https://mail.acme.example"),
        ("https://mail.acme.example:8443/renew/", "https://mail.acme.example:8443"),
        ("/renew", "'self'"),
        ("http://127.0.0.1:8026/renew", "http://127.0.0.1:8026"),
    ],
)
def test_the_form_for_a_new_link_may_go_there_only(renew: str, origin: str) -> None:
    """The policy allows forms to the address of `--renew` and to no other; without it to none."""
    page = landing_page(publishable_key=KEY, redirect=None, renew=renew)
    assert settings_of(page)["renew"] == renew.rstrip("/")
    assert f'form-action {origin}"' in page
    plain = landing_page(publishable_key=KEY, redirect=None)
    assert settings_of(plain)["renew"] == ""
    assert "form-action 'none'\"" in plain
    written = next_page(router="app", redirect=None, renew=renew)
    assert f'const RENEW: string = "{renew.rstrip("/")}";' in written
    assert 'const RENEW = "";' in next_page(router="pages", redirect=None)


@pytest.mark.parametrize(
    "renew",
    ["http://mail.acme.example/renew", "//evil.example", "mail.acme.example/renew", "https://a@b.example/", "/x?a=1"],
)
def test_any_other_address_for_a_new_link_is_refused(renew: str) -> None:
    """What is neither a path of the site nor an https URL is refused with an example."""
    refusal = r"--renew .* https://mail\.acme\.example/u/renew"
    with pytest.raises(SettingsError, match=refusal):
        landing_page(publishable_key=KEY, redirect=None, renew=renew)
    with pytest.raises(SettingsError, match=refusal):
        next_page(router="app", redirect=None, renew=renew)


def test_the_tag_has_a_parameter_of_its_own() -> None:
    """A page that asks for new links cannot take the token from `renew`; another page can."""
    with pytest.raises(SettingsError, match="carries the tag for a new link"):
        landing_page(publishable_key=KEY, redirect=None, parameter="renew", renew="/renew")
    assert landing_page(publishable_key=KEY, redirect=None, parameter="renew")
