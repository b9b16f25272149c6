"""`/healthz` and `/metrics` of a watch on a real socket: what they answer, to whom, and for how long."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from campaign.clock import SystemClock
from campaign.errors import SettingsError
from campaign.model import Status
from campaign.watching import endpoint
from campaign.watching.endpoint import serve
from campaign.watching.health import Health
from campaign.watching.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Watch(NamedTuple):
    """A watch that answers."""

    metrics: Metrics
    health: Health
    port: int

    async def get(self, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        """Return the answer to a GET."""
        return await asyncio.to_thread(fetched, self.port, path, headers)


def fetched(port: int, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
    """Return the answer to a GET."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()


@asynccontextmanager
async def watch() -> AsyncIterator[Watch]:
    """Serve what a watch without campaigns says."""
    metrics, health = Metrics(), Health(SystemClock().now)
    async with serve(0, metrics, health) as url:
        yield Watch(metrics, health, urlsplit(url).port or 0)


async def sent_raw(port: int, data: bytes) -> bytes:
    """Return everything that the server answers to some bytes until it ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(data)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


def test_a_scrape_gets_the_numbers_in_the_text_format() -> None:
    """`/metrics` has the numbers and the content type of Prometheus' text format."""

    async def act() -> None:
        async with watch() as watched:
            watched.metrics.settled("carts", Status.SENT)
            answer, body = await watched.get("/metrics")
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert b'campaign_messages_total{campaign="carts",state="sent"} 1.0\n' in body

    asyncio.run(act())


@pytest.mark.parametrize(
    ("state", "status", "said"),
    [
        ("ok", 200, {"status": "ok"}),
        ("failing", 503, {"status": "failing", "campaigns": {"carts": "Clerk refuses the secret key."}}),
        ("draining", 503, {"status": "draining"}),
    ],
)
def test_health_is_a_status_and_a_word(state: str, status: int, said: dict[str, Any]) -> None:
    """`/healthz` is 200 while all works, else 503 with what is wrong and where."""

    async def act() -> None:
        async with watch() as watched:
            if state == "failing":
                watched.health.failing("carts", "Clerk refuses the secret key.")
            elif state == "draining":
                watched.health.draining()
            answer, body = await watched.get("/healthz")
            assert (answer.status, json.loads(body)) == (status, said)

    asyncio.run(act())


def test_a_watch_that_hangs_still_says_so() -> None:
    """While the event loop of the watch stands still, `/healthz` is answered, with 503 once the limit has passed."""

    async def act() -> None:
        now = [1000.0]
        health = Health(lambda: now[0])
        async with serve(0, Metrics(), health) as url:
            now[0] += 3600
            # Called without `await`: this loop does nothing until the answer is there.
            answer, body = fetched(urlsplit(url).port or 0, "/healthz", {})
            assert (answer.status, json.loads(body)) == (503, {"status": "stalled"})

    asyncio.run(act())


def test_many_scrapes_at_once_are_all_answered() -> None:
    """Eighty scrapes at once get eighty whole answers, one after the other with rests, and the counting goes on."""

    async def act() -> None:
        async with watch() as watched:
            for number in range(30):
                watched.metrics.campaign_loaded(f"campaign-{number}")
            begun = time.perf_counter()
            with ThreadPoolExecutor(16) as threads:
                loop = asyncio.get_running_loop()
                asked = [loop.run_in_executor(threads, fetched, watched.port, "/metrics", {}) for _ in range(80)]
                while not all(one.done() for one in asked):
                    watched.metrics.settled("campaign-0", Status.SENT)
                    await asyncio.wait(asked, timeout=0.001)
                answers = await asyncio.gather(*asked)
            assert time.perf_counter() - begun >= 80 * endpoint.REST_S
            assert [answer.status for answer, _ in answers] == [200] * 80
            assert all(b'campaign_file_loaded_total{campaign="campaign-29"} 1.0\n' in body for _, body in answers)

    asyncio.run(act())


def test_a_port_that_is_taken_is_a_sentence() -> None:
    """A port of another program is an error that names it and the option."""

    async def act() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(SettingsError, match=rf"^127\.0\.0\.1:{port} is in use, .* --port\.$"):
                async with serve(port, Metrics(), Health(SystemClock().now)):
                    pass

    asyncio.run(act())


def test_only_loopback_is_listened_on_and_answered() -> None:
    """The socket is one of 127.0.0.1, and a request under another host's name is refused (DNS rebinding)."""

    async def act() -> None:
        async with watch() as watched:
            for host in ("attacker.example", f"attacker.example:{watched.port}", "127.0.0.1.attacker.example"):
                answer, body = await watched.get("/metrics", Host=host)
                assert answer.status == 421
                assert b"campaign_" not in body
            answer, _ = await watched.get("/metrics", Host=f"localhost:{watched.port}")
            assert answer.status == 200

    asyncio.run(act())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf",
    ],
    ids=["silent", "half a header", "half a body"],
)
def test_a_slow_client_is_ended(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not finish its request loses the connection when its time is over, and others are answered."""
    monkeypatch.setattr(endpoint, "CONNECTION_LIFETIME_S", 0.2)

    async def act() -> None:
        async with watch() as watched:
            await sent_raw(watched.port, data)
            answer, _ = await watched.get("/healthz")
            assert answer.status == 200

    asyncio.run(act())


def test_too_many_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent connections cannot use up the descriptors of the sender: one too many is closed at once."""
    monkeypatch.setattr(endpoint, "MAX_CONNECTIONS", 3)

    async def act() -> None:
        async with watch() as watched:
            silent = [await asyncio.open_connection("127.0.0.1", watched.port) for _ in range(3)]
            begun = time.perf_counter()
            assert await sent_raw(watched.port, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") == b""
            assert time.perf_counter() - begun < endpoint.CONNECTION_LIFETIME_S / 2
            for _, writer in silent:
                writer.close()

    asyncio.run(act())


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /metrics HTTP/1.1\r\n\r\n",
        b"GET /metrics?name[]=\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/plain;version=x\r\n\r\n",
        b"DELETE /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ],
    ids=["garbage", "TLS", "no host", "bytes in the query", "DELETE", "a long header"],
)
def test_a_broken_request_disturbs_nobody(
    data: bytes, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no request is refused without a word on the terminal, and the next request is answered."""
    monkeypatch.setattr(endpoint, "CONNECTION_LIFETIME_S", 1.0)

    async def act() -> None:
        async with watch() as watched:
            assert b" 500 " not in await sent_raw(watched.port, data)
            answer, _ = await watched.get("/metrics")
            assert answer.status == 200

    asyncio.run(act())
    assert capfd.readouterr() == ("", "")


def test_without_the_library_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prometheus-client the port is refused with the command to type, before anything is served."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    async def act() -> None:
        with pytest.raises(SettingsError, match=r"^--port needs .* type: pip install 'campaign\[watch\]'$"):
            async with serve(0, Metrics(), Health(SystemClock().now)):
                pass

    asyncio.run(act())
