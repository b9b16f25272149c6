"""A kept HTTP connection: it is used again while the server has neither left nor spoken, and not a moment longer."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest

from campaign.httpline import Line

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TIMES = {"timeout": {"connect": 5.0, "read": 5.0}}


async def answer(listening: socket.socket, said: bytes = OK) -> socket.socket:
    """Take a connection, answer its first call, and return it."""
    loop = asyncio.get_running_loop()
    theirs, _ = await loop.sock_accept(listening)
    theirs.settimeout(0)
    await again(theirs, said)
    return theirs


async def again(theirs: socket.socket, said: bytes = OK) -> None:
    """Answer a further call."""
    loop = asyncio.get_running_loop()
    heard = b""
    while not heard.endswith(b"\r\n\r\n"):
        heard += await loop.sock_recv(theirs, 65536)
    await loop.sock_sendall(theirs, said)


async def call(line: Line, url: httpx.URL) -> str:
    """Make a call, and return what was answered."""
    response = await line.handle_async_request(httpx.Request("GET", url, extensions=TIMES))
    try:
        return (await response.aread()).decode()
    finally:
        await response.aclose()


def listening_socket() -> tuple[socket.socket, httpx.URL]:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0)
    return listening, httpx.URL(f"http://127.0.0.1:{listening.getsockname()[1]}/v1")


def test_a_connection_is_kept() -> None:
    """The second call goes over the connection of the first."""

    async def run() -> None:
        listening, url = listening_socket()
        line = Line(url, None)
        with listening:
            _, theirs = await asyncio.gather(call(line, url), answer(listening))
            with theirs:
                said, _ = await asyncio.gather(call(line, url), again(theirs))
                assert said == "ok"
        await line.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
def test_what_happened_while_nobody_listened_is_heard_before_the_next_call(last_words: bytes) -> None:
    """A server that left, or spoke, between two calls is called anew: no call is lost, or answered by what is older."""

    async def run() -> None:
        listening, url = listening_socket()
        line = Line(url, None)
        with listening:
            said, theirs = await asyncio.gather(call(line, url), answer(listening))
            assert said == "ok"
            with theirs:
                # the event loop has no turn between this and the next call
                theirs.send(last_words) if last_words else theirs.close()
                async with asyncio.timeout(10):
                    said, second = await asyncio.gather(call(line, url), answer(listening))
                second.close()
                assert said == "ok"
        await line.aclose()

    asyncio.run(run())


def test_an_answer_that_is_cut_short_is_an_error() -> None:
    """A server that closes before its answer's end is told from one that said all."""

    async def run() -> None:
        listening, url = listening_socket()
        line = Line(url, None)

        async def cut() -> None:
            (await answer(listening, OK[:-1])).close()

        with listening:
            results = await asyncio.gather(call(line, url), cut(), return_exceptions=True)
        assert isinstance(results[0], httpx.RemoteProtocolError)
        await line.aclose()

    asyncio.run(run())
