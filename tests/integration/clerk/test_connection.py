"""Keep-alive to Clerk: a connection is reused if the server neither closed it nor sent data; no call is sent twice."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta

import pytest

from campaign.clerk.client import Clerk
from campaign.errors import TransientError
from campaign.model import Revocation
from support.servers.black_hole import black_hole

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


async def hear(theirs: socket.socket) -> bytes:
    """Return one complete call from a connection."""
    loop = asyncio.get_running_loop()
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += await loop.sock_recv(theirs, 65536)
    return heard


async def answer(listening: socket.socket, said: bytes = OK) -> socket.socket:
    """Accept a connection, answer its first call, and return the connection."""
    loop = asyncio.get_running_loop()
    theirs, _ = await loop.sock_accept(listening)
    theirs.settimeout(0)
    await hear(theirs)
    await loop.sock_sendall(theirs, said)
    return theirs


async def again(theirs: socket.socket) -> None:
    """Answer another call."""
    await hear(theirs)
    await asyncio.get_running_loop().sock_sendall(theirs, OK)


def listening_socket() -> tuple[socket.socket, str]:
    """Return a listening socket and its origin."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0)
    return listening, f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_connection_is_kept() -> None:
    """The second call uses the connection of the first."""

    async def run() -> None:
        listening, url = listening_socket()
        with listening:
            async with Clerk(url, "sk_test_1") as clerk:
                _, theirs = await asyncio.gather(clerk.revoke_sign_in_token("sit_1"), answer(listening))
                with theirs:
                    found, _ = await asyncio.gather(clerk.revoke_sign_in_token("sit_1"), again(theirs))
                    assert found is Revocation.REVOKED

    asyncio.run(run())


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
def test_a_server_that_left_between_two_calls_is_called_anew(last_words: bytes) -> None:
    """If the server closes or sends data between two calls, the next call succeeds over a new connection."""

    async def run() -> None:
        listening, url = listening_socket()
        with listening:
            async with Clerk(url, "sk_test_1") as clerk:
                _, theirs = await asyncio.gather(clerk.revoke_sign_in_token("sit_1"), answer(listening))
                with theirs:
                    # the event loop does not run between this and the next call
                    theirs.send(last_words) if last_words else theirs.close()
                    async with asyncio.timeout(10):
                        found, second = await asyncio.gather(clerk.revoke_sign_in_token("sit_1"), answer(listening))
                    second.close()
                    assert found is Revocation.REVOKED

    asyncio.run(run())


def test_a_call_whose_answer_is_cut_short_is_not_sent_again() -> None:
    """If the server closes in the middle of its answer, the call is not sent again, and a token may exist."""

    async def run() -> None:
        listening, url = listening_socket()
        with listening:
            async with Clerk(url, "sk_test_1") as clerk:

                async def cut() -> None:
                    (await answer(listening, OK[:-1])).close()

                create = clerk.create_sign_in_token("user_1", expires_in=timedelta(hours=1))
                outcome, _ = await asyncio.gather(create, cut(), return_exceptions=True)
            with pytest.raises(BlockingIOError):
                listening.accept()
        assert isinstance(outcome, TransientError)
        assert outcome.maybe_applied

    asyncio.run(run())


def test_an_address_that_does_not_answer_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """If Clerk's first address, IPv6, does not answer, the next one is tried beside it (RFC 8305)."""

    async def run(listening: socket.socket, port: int) -> None:
        async with Clerk(f"http://localhost:{port}", "sk_test_1") as clerk, asyncio.timeout(5):
            found, theirs = await asyncio.gather(clerk.revoke_sign_in_token("sit_1"), answer(listening))
            theirs.close()
        assert found is Revocation.REVOKED

    def addresses(_host: object, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    listening, url = listening_socket()
    port = int(url.rpartition(":")[2])
    with listening, black_hole("::1", port):
        monkeypatch.setattr(socket, "getaddrinfo", addresses)
        asyncio.run(run(listening, port))


def test_a_server_that_leaves_as_it_is_called_harms_only_that_call() -> None:
    """If the server closes a kept connection as a call arrives, that call may have had an effect; the next succeeds."""

    async def run() -> None:
        listening, url = listening_socket()
        with listening:
            async with Clerk(url, "sk_test_1") as clerk:
                _, theirs = await asyncio.gather(clerk.revoke_sign_in_token("sit_1"), answer(listening))

                async def leave() -> None:
                    with theirs:
                        await hear(theirs)

                call = clerk.revoke_sign_in_token("sit_1")
                outcome, _ = await asyncio.gather(call, leave(), return_exceptions=True)
                assert isinstance(outcome, TransientError)
                assert outcome.maybe_applied
                found, second = await asyncio.gather(clerk.revoke_sign_in_token("sit_1"), answer(listening))
                second.close()
                assert found is Revocation.REVOKED

    asyncio.run(run())
