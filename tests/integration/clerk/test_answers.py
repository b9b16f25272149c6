"""Invalid answers of Clerk's API: endless, slow, decompressed to a huge size, not JSON, or from another server."""

from __future__ import annotations

import gzip
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from campaign.errors import ServiceRefusesError, TransientError
from campaign.model import SignInToken
from support.clerk_calls import CALLS, ask, create, faulty
from support.servers.clerk_script import Answer
from support.servers.script import Endless, Raw, Trickle

if TYPE_CHECKING:
    from support.servers.script import Action

#: An answer of Clerk's API in several parts, all but the last one.
SLOWLY = Trickle("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + " " * 9999, interval=0.02, done=True)
SLOWLY_FROM_THE_START = replace(SLOWLY, text="HTTP/1.1 200 OK\r\nX: " + "x" * 9999)


@pytest.mark.parametrize("at", ["create", "users", "revoke"])
@pytest.mark.parametrize(
    "action", [SLOWLY, pytest.param(SLOWLY_FROM_THE_START, marks=pytest.mark.long)], ids=["the body", "the head"]
)
def test_an_answer_that_trickles_in_is_given_up(at: str, action: Trickle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call has a deadline even if its answer arrives in small pieces, and the request may have been carried out."""
    monkeypatch.setattr("campaign.clerk.client._CALL_TIMEOUT_S", 0.4)
    with faulty(at, action) as server:
        outcome = ask(server.url, CALLS[at])
    assert isinstance(outcome, TransientError), outcome
    assert outcome.maybe_applied is (at != "users")
    assert "0.4 s" in outcome.reason


def peak_of(at: str, action: Action) -> tuple[object, int]:
    """Return the result of a call, and how many bytes of memory the process needed for it."""
    tracemalloc.start()
    try:
        with faulty(at, action) as server:
            return ask(server.url, CALLS[at]), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("at", ["create", "users", "revoke"])
def test_an_answer_without_an_end_is_given_up(at: str) -> None:
    """Only about ten million bytes of an answer are kept, and the request may have been carried out."""
    outcome, peak = peak_of(at, Endless(" " * 500, done=True))
    assert isinstance(outcome, TransientError), outcome
    assert outcome.maybe_applied is (at != "users")
    assert "larger than 10000000 bytes" in outcome.reason
    assert peak < 50_000_000


@pytest.mark.parametrize("at", ["users", pytest.param("create", marks=pytest.mark.long)])
def test_an_answer_that_swells_is_cut_off(at: str) -> None:
    """A small compressed answer that decompresses to a huge one uses no more memory than any other."""
    bomb = gzip.compress(b" " * 100_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    outcome, peak = peak_of(at, Raw(head + bomb.decode("latin-1"), done=True))
    assert isinstance(outcome, TransientError), outcome
    assert outcome.maybe_applied is (at != "users")
    assert peak < 50_000_000


@pytest.mark.parametrize("body", ["[" * 100_000, "9" * 10_000, '{"id": '], ids=["deep", "a large number", "cut off"])
def test_an_answer_that_is_no_json_is_of_no_use(body: str) -> None:
    """Any text that is not JSON is reported as an invalid answer and does not crash the program."""
    with faulty("create", Answer(200, body, content_type="application/json")) as server:
        assert isinstance(ask(server.url, create), TransientError)


def test_a_compressed_answer_is_understood() -> None:
    """An answer compressed with gzip is read (RFC 9110 §8.4.1.3)."""
    body = gzip.compress(b'{"id": "sit_1", "token": "t", "user_id": "user_ada"}').decode("latin-1")
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    with faulty("create", Raw(head + body)) as server:
        assert ask(server.url, create) == SignInToken("sit_1", "t", "user_ada")


@pytest.mark.parametrize("at", ["create", "users", "revoke"])
def test_a_place_that_is_not_clerk_says_nothing_about_a_token(at: str) -> None:
    """A 404 that is not in Clerk's form is a fault of the setting, and means neither unknown user nor dead token."""
    with faulty(at, Answer(404, "<html>not found</html>")) as server:
        outcome = ask(server.url, CALLS[at])
    assert isinstance(outcome, ServiceRefusesError)
    assert "CLERK_API_URL" in str(outcome)
