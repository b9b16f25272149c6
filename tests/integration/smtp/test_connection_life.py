"""The life of an SMTP connection: several messages, each byte for byte, and its end."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from campaign.errors import TransientError, UncertainError
from campaign.smtp.connection import Connection
from campaign.smtp.reply_codes import ConnectionSpentError
from campaign.smtp.terms import Features, Timeouts
from support.fake_clock import eventually, settled
from support.servers.script import Drop, Fault, Raw, Reply, Reset
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript
from support.smtp_transactions import (
    ADA,
    BOB,
    PATIENT,
    accepted,
    connector,
    digest,
    envelope,
    fate,
    mail,
    transact,
    violations,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.servers.script import Action

LOCKSTEP = ("8BITMIME", "ENHANCEDSTATUSCODES")
PIPELINED = ("PIPELINING", *LOCKSTEP)
ways = pytest.mark.parametrize("capabilities", [PIPELINED, LOCKSTEP], ids=["pipelined", "lockstep"])


@ways
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Drop(), ConnectionSpentError),
        (Reset(), ConnectionSpentError),
        (Reply("421 4.7.0 no more than one message", close=True), ConnectionSpentError),
        (Reply("421 4.7.0 no more than one message"), ConnectionSpentError),
        (Reply("503 5.5.1 nested MAIL"), ConnectionSpentError),
        (Reply("451 4.3.0 not now"), TransientError),
    ],
    ids=str,
)
def test_a_used_connection_that_ends_at_mail_blames_nobody(
    action: Action, expected: type[Exception], capabilities: tuple[str, ...]
) -> None:
    """If a used connection ends at the next MAIL, nothing was begun, and another connection may take the message."""

    async def run(server: SmtpServer) -> object:
        connection = await connector(server).connect()
        await transact(connection)
        outcome = await fate(connection, BOB)
        connection.end("the test is over")
        return outcome

    script = SmtpScript(faults=(Fault("mail", action, skip=1),), capabilities=capabilities)
    with SmtpServer(script) as server:
        assert isinstance(asyncio.run(run(server)), expected)
        assert accepted(server) == [ADA]


@pytest.mark.parametrize(
    "action", [Reply("421 4.4.2 idle too long", close=True), Raw("250 hello?\r\n"), Drop(), Reset()]
)
def test_the_end_of_an_idle_connection_is_seen(action: Action) -> None:
    """An idle connection that is closed, or on which the server sends data, is marked as ended."""

    async def run(server: SmtpServer) -> None:
        connection = await connector(server).connect()
        await transact(connection)
        told: list[bool] = []
        connection.on_end = lambda: told.append(True)
        await eventually(lambda: connection.ended)
        assert told == [True]
        assert isinstance(await fate(connection, BOB), ConnectionSpentError)

    with SmtpServer(SmtpScript(faults=(Fault("idle", action),), idle_after=0.15)) as server:
        asyncio.run(run(server))
        assert accepted(server) == [ADA]


@ways
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b".\r\n",
        b"..\r\n.\r\n...\r\n",
        b".a\r\n\r\n.\r\n",
        b"a.\r\n.b\r\n",
        b"QUIT\r\nMAIL FROM:<x@example.com>\r\n",
        b"x" * 900 + b"\r\n" + b".y\r\n" * 5000,
    ],
    ids=["nothing", "a dot", "dots", "a dot first", "dots about", "commands", "much"],
)
def test_the_message_arrives_to_the_byte(body: bytes, capabilities: tuple[str, ...]) -> None:
    """Any message, even with lone dots and SMTP commands in it, arrives unchanged."""

    async def run(server: SmtpServer) -> None:
        connection = await connector(server, PATIENT).connect()
        for message in (mail(body=body), b".starts with a dot: x\r\n\r\n" + body):
            await transact(connection, message=message)
            assert server.events("accept")[-1]["sha256"] == digest(message)
        connection.quit()

    with SmtpServer(SmtpScript(capabilities=capabilities)) as server:
        asyncio.run(run(server))
        assert violations(server) == []


@pytest.mark.parametrize("capabilities", [("PIPELINING",), ("PIPELINING", "8BITMIME")])
def test_only_what_is_offered_is_used(capabilities: tuple[str, ...]) -> None:
    """SIZE and BODY=8BITMIME are used only if the server offers them."""

    async def run(server: SmtpServer) -> None:
        connection = await connector(server).connect()
        message = mail(body="Grüße\r\n".encode() if connection.features.eight_bit else b"Hello\r\n")
        await connection.envelope(envelope(message, eight_bit=connection.features.eight_bit))
        await connection.body(message)
        await connection.dot()
        connection.end("the test is over")

    with SmtpServer(SmtpScript(capabilities=capabilities, size=None)) as server:
        asyncio.run(run(server))
        assert violations(server) == []
        assert accepted(server) == [ADA]


# -- against a server played by the test itself ------------------------------------------------------------------


async def saying(theirs: socket.socket, replies: bytes) -> bytes:
    """Return what had arrived when these replies were sent, without removing it from the socket."""
    await settled()
    heard = theirs.recv(65536, socket.MSG_PEEK)
    await asyncio.get_running_loop().sock_sendall(theirs, replies)
    return heard


@asynccontextmanager
async def at_354(timeouts: Timeouts) -> AsyncIterator[tuple[Connection, socket.socket]]:
    """Yield a connection whose server waits for the message, and the server's socket."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(Features(pipelining=True), timeouts), sock=ours)
    try:
        await asyncio.gather(
            connection.envelope(envelope(mail())), saying(theirs, b"250 Ok\r\n250 Ok\r\n354 go on\r\n")
        )
        yield connection, theirs
    finally:
        theirs.close()
        connection.end("the test is over")
        await settled()


def test_nothing_follows_the_dot_before_its_reply() -> None:
    """After the body only the dot is written, and after its reply the connection is ready for the next message."""

    async def run() -> None:
        async with at_354(Timeouts()) as (connection, theirs):
            opening = theirs.recv(65536)
            assert opening == b"MAIL FROM:<hello@acme.example>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n"
            await connection.body(b".a\r\n..b\r\nc\r\n")
            await settled()
            assert theirs.recv(65536) == b"..a\r\n...b\r\nc\r\n"
            receipt, heard = await asyncio.gather(connection.dot(), saying(theirs, b"250 taken\r\n"))
            assert (receipt.text, heard, theirs.recv(65536)) == ("taken", b".\r\n", b".\r\n")
            assert connection.is_ready

    asyncio.run(run())


def test_a_server_that_stops_reading_is_left() -> None:
    """If the server does not read the message in time, the message was not sent."""

    async def run() -> None:
        async with at_354(Timeouts(body=0.1)) as (connection, _):
            with pytest.raises(TransientError, match="during the message: the server did not answer in time"):
                await connection.body(b"x" * 998 + b"\r\n" * 10_000_000)

    asyncio.run(run())


def test_a_large_message_is_written_in_blocks() -> None:
    """A message in pieces arrives as one, dot-stuffed, and the write buffer holds no more of it than a block."""
    pieces = (b"Subject: x\r\n\r\n", b".\r\n" * 1_000_000, b".end\r\n")

    async def run() -> tuple[bytes, int]:
        loop, got, most = asyncio.get_running_loop(), bytearray(), 0
        wanted = sum(map(len, pieces)) + 1_000_001
        async with at_354(Timeouts()) as (connection, theirs):
            theirs.recv(65536)
            async with asyncio.TaskGroup() as group:
                group.create_task(connection.body(*pieces))
                while len(got) < wanted:
                    got += await loop.sock_recv(theirs, 1 << 20)
                    most = max(most, connection._transport.get_write_buffer_size())  # noqa: SLF001 - what it holds
        return bytes(got), most

    got, most = asyncio.run(run())
    assert got == b"".join(pieces).replace(b"\r\n.", b"\r\n..")
    assert 0 < most <= 1 << 19


@pytest.mark.parametrize("last_words", [b"", b"421 4.3.2 shutting down\r\n", b"250 by the way\r\n", b"nonsense\r\n"])
def test_a_connection_that_ends_amid_the_message_gets_no_dot(last_words: bytes) -> None:
    """If the server closes or replies before the final dot, no dot is written, and its last words are kept."""

    async def run() -> None:
        async with at_354(Timeouts()) as (connection, theirs):
            await connection.body(mail())
            theirs.send(last_words) if last_words else theirs.close()
            await eventually(lambda: connection.ended)
            with pytest.raises(TransientError, match="during the message") as caught:
                await connection.dot()
            assert b"\r\n.\r\n" not in (theirs.recv(65536) if last_words else b"")
            spoke = last_words[:3].isdigit()
            assert (caught.value.reply is not None) == spoke

    asyncio.run(run())


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("last_words", [b"", b"421 4.3.2 shutting down\r\n", b"nonsense\r\n"])
def test_what_came_amid_the_message_is_heard_before_the_dot(last_words: bytes, *, uvloop: bool) -> None:
    """Before the dot is written the connection always checks whether the server closed or replied."""

    async def run() -> None:
        async with at_354(Timeouts()) as (connection, theirs):
            await connection.body(mail())
            theirs.send(last_words) if last_words else theirs.close()
            assert not connection.ended
            with pytest.raises(TransientError, match="during the message"):
                await connection.dot()

    loop = pytest.importorskip("uvloop").new_event_loop if uvloop else None
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


def test_an_answer_that_comes_too_late_is_nobodys() -> None:
    """A reply that arrives after the timeout of the final dot is ignored."""

    async def run() -> None:
        async with at_354(Timeouts(dot=0.05)) as (connection, theirs):
            await connection.body(mail())
            with pytest.raises(UncertainError, match="the server did not answer in time"):
                await connection.dot()
            await settled()
            with pytest.raises(BrokenPipeError):
                theirs.send(b"250 Ok\r\n")
            assert connection.ended
            assert isinstance(await fate(connection), ConnectionSpentError)

    asyncio.run(run())


def test_taking_leave_waits_for_nothing() -> None:
    """QUIT is written and the connection closed, whether or not the server answers."""

    async def run() -> None:
        async with at_354(Timeouts()) as (connection, theirs):
            connection.quit()
            connection.quit()
            assert connection.ended
            loop, heard = asyncio.get_running_loop(), b""
            while chunk := await loop.sock_recv(theirs, 4096):
                heard += chunk
            assert heard.endswith(b"DATA\r\nQUIT\r\n")

    asyncio.run(run())
