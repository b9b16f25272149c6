"""Rules for links and hosts: a token goes only to hosts that the campaign file names."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from campaign.config.definition.sections import LinkSection


def link(**entries: object) -> LinkSection:
    """Return the section [link] with these entries."""
    return LinkSection.model_validate({"expires_in": "48h", "url": "https://acme.example"} | entries)


def refusal(**entries: object) -> str:
    """Return the key and the message with which a section [link] with these entries is refused."""
    with pytest.raises(ValidationError) as refused:
        link(**entries)
    (fault,) = refused.value.errors()
    return f"{fault['loc'][0]}: {fault['msg']}"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://acme.example/welcome", "unencrypted"),
        ("ftp://acme.example", "https://"),
        ("acme.example/welcome", "https://"),
        ("https:///welcome", "not a host"),
        ("https://{{ host }}/welcome", "not in the host"),
        ("https://{{ 'a/b' }}.acme.example/", "not in the host"),
        ("https://acme.example{{ path }}", "not in the host"),
        ("https://acme.example{% if x %}/a{% endif %}", "not in the host"),
        ("{{ scheme }}://acme.example", "not in the host"),
        ("https://acme.example:{{ port }}/", "not in the host"),
        ("https://ann@acme.example/", "https://"),
        ("https://acme.example\\@eve.example/", "not allowed in a URL"),
        ("https://acme.example/a b", "not allowed in a URL"),
        ("https://acme.example/a\nb", "not allowed in a URL"),
        ("https://acme.example:99999/", "not a host"),
    ],
)
def test_a_link_leads_to_one_known_host(url: str, words: str) -> None:
    """A link is an absolute https URL whose scheme and host contain no variable."""
    sentence = refusal(url=url)
    assert sentence.startswith("url: ")
    assert words in sentence


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://acme.example", "acme.example"),
        ("https://ACME.example:8443?x=1", "acme.example:8443"),
        ("https://bücher.example/{{ a }}?b={{ c }}#{{ d }}", "xn--bcher-kva.example"),
        ("http://localhost:3000/welcome", "localhost:3000"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("http://[::1]:3000/", "[::1]:3000"),
        ("https://acme.example/{{ '://?token=/' }}", "acme.example"),
    ],
)
def test_the_host_of_the_link_is_the_default_of_hosts(url: str, host: str) -> None:
    """Without `hosts` links may lead only to the host of the URL, and http is allowed only for this machine."""
    assert link(url=url).hosts == (host,)


def test_hosts_are_plain_names() -> None:
    """Hosts are names with an optional port, and are normalised to one form."""
    hosts = ["Shop.Acme.example", "bücher.example:8443", "[::1]:80", "localhost"]
    assert link(hosts=hosts).hosts == ("shop.acme.example", "xn--bcher-kva.example:8443", "[::1]:80", "localhost")


@pytest.mark.parametrize(
    "hosts",
    [
        "acme.example",
        [],
        [""],
        [7],
        ["https://acme.example"],
        ["*.acme.example"],
        ["acme.example/x"],
        ["acme.example?"],
        ["ann@acme.example"],
        ["acme.example\\"],
        ["acme.example:0"],
        ["acme.example:"],
        ["acme example"],
        ["acme.example\n"],
        ["::1"],
    ],
)
def test_what_is_no_host_is_refused(hosts: object) -> None:
    """URLs, patterns, user names, invalid ports and an empty list are refused as hosts."""
    assert refusal(hosts=hosts).startswith("hosts: ")


@pytest.mark.parametrize("lifetime", ["59s", "366d", "60s 500ms", "soon", 172800, ""])
def test_a_token_lives_for_a_minute_to_a_year(lifetime: object) -> None:
    """A lifetime below a minute, above a year, or not in whole seconds is refused."""
    assert refusal(expires_in=lifetime).startswith("expires_in: ")
    assert link(expires_in="1m").expires_in == timedelta(minutes=1)
    assert link(expires_in="365d").expires_in == timedelta(days=365)


def test_the_parameter_is_free_in_the_url() -> None:
    """The token's query parameter needs no escaping and must not already be in the URL."""
    url = "https://acme.example/?x={{ a }}&ticket=1&token{{ b }}=2"
    assert link(url=url, parameter="token").parameter == "token"
    for wrong in ("ticket", "a b", "a=b", "", "é", "#", "##token", "hint", "#hint", "next", "#next"):
        assert refusal(url=url, parameter=wrong).startswith("parameter: ")


def test_the_token_may_stand_in_the_fragment() -> None:
    """`#token` puts the token behind the `#`, if nothing stands there in the URL."""
    url = "https://acme.example/?token=1"
    assert link(url=url, parameter="#token").parameter == "#token"
    assert 'write "token"' in refusal(url="https://acme.example/#top", parameter="#token")


def test_the_hint_is_on_unless_switched_off() -> None:
    """Links carry the masked address by default; a URL that has a parameter `hint` asks to decide."""
    assert link().hint is True
    assert link(hint=False, parameter="hint").hint is False
    url = "https://acme.example/?hint=1"
    sentence = refusal(url=url)
    assert sentence.startswith("hint: ")
    assert sentence.endswith('"hint" is already in the query of url; rename it there, or write hint = false')
    assert link(url=url, hint=False).url == url


def test_a_new_link_has_to_be_switched_on() -> None:
    """Links carry no tag unless `renew` is true; then neither the URL nor the token may take its parameter."""
    assert link().renew is False
    assert link(renew=True).renew is True
    url = "https://acme.example/?renew=1"
    assert link(url=url, parameter="#renew").url == url
    sentence = refusal(url=url, renew=True)
    assert sentence.startswith("renew: ")
    assert sentence.endswith("where renew puts its tag; rename it there")
    for parameter in ("renew", "#renew"):
        assert "carries the tag for a new link" in refusal(renew=True, parameter=parameter)
    assert refusal(renew="https://acme.example/renew").startswith("renew: ")


@pytest.mark.parametrize(
    "url",
    ["https://acme.example/?next=/cart", "https://acme.example/?a={{ b }}&next={{ c }}#top", "http://[::1]/?next"],
)
def test_the_path_behind_the_link_has_a_place(url: str) -> None:
    """A URL with a parameter `next` of its own is refused: `link_to` puts its path there."""
    sentence = refusal(url=url)
    assert sentence.startswith("url: ")
    assert sentence.endswith('remove it, and write {{ link_to("/cart") }} in the templates')


def test_the_organization_is_a_column() -> None:
    """`org_id` names a column; an empty name is refused."""
    assert link().org_id is None
    assert link(org_id=" Org ID ").org_id == "Org ID"
    for wrong in ("", " ", "a\nb", 7):
        assert refusal(org_id=wrong).startswith("org_id: ")
