"""Rules for `[unsubscribe]`: a link that a mail program may POST to, or a reason why there is none."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from campaign.config.definition.unsubscribe import UnsubscribeSection

URL = "https://mail.acme.example/u"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({}, "needs either url"),
        ({"url": URL, "none": "transactional"}, "needs either url"),
        ({"url": "http://mail.acme.example/u"}, "one click needs"),
        ({"url": "ftp://mail.acme.example/u"}, "https://"),
        ({"url": "mail.acme.example/u"}, "https://"),
        ({"url": f"{URL}?a=1"}, "without spaces, variables, ? and #"),
        ({"url": f"{URL}/{{{{ user_id }}}}"}, "without spaces, variables"),
        ({"url": "https://ann@mail.acme.example/u"}, "https://"),
        ({"url": f"{URL}/{'x' * 400}"}, "at most 400"),
        ({"url": URL, "list": "Our news"}, "ASCII letters"),
        ({"url": URL, "mailto": "Leave <leave@acme.example>"}, "one address"),
        ({"url": URL, "mailto": "leave"}, "one address"),
        ({"none": " "}, "must say why"),
    ],
)
def test_what_is_wrong_is_named(entries: dict[str, str], words: str) -> None:
    """A wrong value is refused with what to write."""
    with pytest.raises(ValidationError) as refused:
        UnsubscribeSection.model_validate(entries)
    (fault,) = refused.value.errors()
    assert words in fault["msg"]


@pytest.mark.parametrize("url", [URL, f"{URL}/", "http://127.0.0.1:8026/u", "https://acme.example"])
def test_an_endpoint_is_https_or_on_this_machine(url: str) -> None:
    """The address is kept without a slash at its end."""
    assert UnsubscribeSection.model_validate({"url": url}).url == url.rstrip("/")
