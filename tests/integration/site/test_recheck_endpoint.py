"""The recheck endpoint: a signed question, and every answer that is not exactly as documented is a doubt."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from campaign.errors import TransientError
from campaign.site.recheck_endpoint import RecheckEndpoint
from support.servers.recheck_site import RECHECK_KEY, RecheckSite

if TYPE_CHECKING:
    from collections.abc import Sequence


def asked(
    url: str, keys: Sequence[str] = ("C-1", "C-2"), *, key: str = RECHECK_KEY, timeout: float = 5.0
) -> dict[str, dict[str, Any]]:
    """Return what the endpoint says about some keys."""

    async def ask() -> dict[str, dict[str, Any]]:
        async with RecheckEndpoint(url, key, timeout=timeout) as endpoint:
            return await endpoint.ask("abandoned-cart", "second", keys)

    return asyncio.run(ask())


def test_the_question_is_signed_and_names_campaign_step_and_keys() -> None:
    """The body has the campaign, the step and the keys, and its HMAC-SHA-256 is in X-Campaign-Signature."""
    with RecheckSite() as site:
        assert asked(site.url, ["C-1", "ü 2"]) == {"C-1": {}, "ü 2": {}}
        (event,) = site.events("request")
        assert event["signed"]
        assert event["request"] == "POST /campaign/still-open HTTP/1.1"
        assert (event["campaign"], event["step"], event["keys"]) == ("abandoned-cart", "second", ["C-1", "ü 2"])


def test_only_keys_in_the_answer_stand_and_may_bring_variables() -> None:
    """A key that is left out of the answer does not stand; the others bring text, numbers and lists of rows."""
    fresh = {"total": "42.00", "stock": 3, "items": [{"name": "Mug", "price": 8.5}]}
    with RecheckSite() as site:
        site.recheck.standing = {"C-2": fresh}
        assert asked(site.url) == {"C-2": fresh}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("500 Oops", "answered 500 instead of 200"),
        ("204 No Content", "answered 204 instead of 200"),
        ("302 Found -> http://127.0.0.1:9/", "answered 302 instead of 200"),
        ("<html>", "no JSON"),
        ("[" * 100_000, "no JSON"),
        (b"\xff\xfe{}".decode("latin-1"), "no JSON"),
        ("[]", 'without an object "keys"'),
        ("{}", 'without an object "keys"'),
        ('{"keys": ["C-1"]}', 'without an object "keys"'),
        ('{"keys": {"C-1": {}, "C-9": {}}}', "a key that was not asked for"),
        ('{"keys": {"C-1": "yes"}}', "variables that are no object"),
        ('{"keys": {"C-1": {"total": null}}}', "neither text nor a number"),
        ('{"keys": {"C-1": {"total": true}}}', "neither text nor a number"),
        ('{"keys": {"C-1": {"total": NaN}}}', "NaN"),
        ('{"keys": {"C-1": {"a": [[[[[1]]]]]}}}', "neither text nor a number"),
        ('{"keys": {"C-1": {"name": "a\\u202eb"}}}', "a control character"),
        ('{"keys": {"C-1": {"link": "https://evil.example/"}}}', "the variable link"),
    ],
)
def test_an_answer_that_is_not_as_documented_is_a_doubt(answer: str, why: str) -> None:
    """Another status, other JSON, foreign keys and odd values raise an error that names the endpoint and the reason."""
    with RecheckSite() as site:
        site.recheck.faults.append(answer)
        with pytest.raises(TransientError, match="the recheck endpoint http") as caught:
            asked(site.url)
        assert why in caught.value.reason
        assert len(site.events("request")) == 1


def test_an_answer_that_is_too_large_is_a_doubt() -> None:
    """At most four million bytes of an answer are read."""
    with RecheckSite() as site:
        site.recheck.faults.append(json.dumps({"keys": {"C-1": {"x": "y" * 4_000_001}}}))
        with pytest.raises(TransientError, match="larger than 4000000 bytes"):
            asked(site.url)


def test_a_wrong_key_is_a_doubt() -> None:
    """An endpoint that refuses the signature says so, and the key is not in the sentence."""
    with RecheckSite() as site, pytest.raises(TransientError, match="answered 401") as caught:
        asked(site.url, key="another key")
    assert "another key" not in str(caught.value)


def test_an_endpoint_that_does_not_answer_is_given_up() -> None:
    """A request ends after the time-out, however slowly the answer comes."""
    with RecheckSite() as site:
        site.recheck.faults.append("silence")
        with pytest.raises(TransientError, match=r"no answer within 0\.2 s"):
            asked(site.url, timeout=0.2)


def test_an_endpoint_that_is_not_there_is_a_doubt() -> None:
    """A refused connection raises the same error; the query of the URL, which may hold a secret, is not in it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(TransientError, match="cannot be asked") as caught:
            asked(f"http://127.0.0.1:{taken.getsockname()[1]}/x?secret=1")
    assert "secret" not in caught.value.reason


def test_at_most_four_requests_run_at_once() -> None:
    """Ten questions at once reach the endpoint by fours."""

    async def ask(url: str) -> None:
        async with RecheckEndpoint(url, RECHECK_KEY, timeout=5.0) as endpoint:
            await asyncio.gather(*[endpoint.ask("c", "", [str(number)]) for number in range(10)])

    with RecheckSite() as site:
        site.recheck.latency = 0.05
        asyncio.run(ask(site.url))
        assert site.recheck.most_busy == 4
        assert len(site.asked) == 10
