"""Servers that cannot be reached, and the capabilities of those that can."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from campaign.config.smtp_url import parse_smtp_url
from campaign.errors import Scope, ServiceRefusesError, TransientError
from campaign.smtp import Connector
from campaign.smtp.terms import Features
from support.servers.black_hole import black_hole
from support.servers.script import Delay, Fault, Reply
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript
from support.smtp_transactions import ADA, PATIENT, accepted, connector, transact, violations

if TYPE_CHECKING:
    from campaign.smtp.dialing import Address


def test_nobody_listens() -> None:
    """A refused connection is a temporary fault of the server."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(TransientError, match=f"127.0.0.1:{port} cannot be reached") as caught:
        asyncio.run(Connector(parse_smtp_url(f"smtp://127.0.0.1:{port}?tls=none"), PATIENT).connect())
    assert caught.value.scope is Scope.SERVER


def test_nobody_answers_at_all() -> None:
    """A server that does not accept the connection is given up after the deadline."""
    with black_hole("127.0.0.1") as port:
        server = parse_smtp_url(f"smtp://127.0.0.1:{port}?tls=none")
        with pytest.raises(TransientError, match=r"the connection was not over after 0\.3 s") as caught:
            asyncio.run(Connector(server, replace(PATIENT, login=0.3)).connect())
    assert caught.value.scope is Scope.SERVER


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
def test_an_address_that_does_not_answer_costs_little(*, uvloop: bool) -> None:
    """If the host's first address, IPv6, does not answer, the next one is tried beside it and the message is sent."""

    async def run(server: SmtpServer, port: int) -> None:
        async def resolved(_host: str, _port: int) -> list[Address]:
            silent = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
            return [silent, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

        connection = await Connector(parse_smtp_url(server.url), PATIENT, resolve=resolved).connect()
        await transact(connection)
        connection.end("the test is over")

    loop = pytest.importorskip("uvloop").new_event_loop if uvloop else None
    with black_hole("::1") as port, SmtpServer() as server, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run(server, port))
        assert accepted(server) == [ADA]
        assert [event["name"] for event in server.events("ehlo")] == ["[127.0.0.1]"]


def test_too_few_file_descriptors() -> None:
    """Without a free file descriptor a connection fails temporarily, and succeeds when one is free again."""

    async def run(server: SmtpServer) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            with pytest.raises(TransientError, match="Too many open files") as caught:
                await connector(server).connect()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert caught.value.scope is Scope.SERVER
        (await connector(server).connect()).end("the test is over")

    with SmtpServer() as server:
        asyncio.run(run(server))


def test_there_is_no_such_host() -> None:
    """A host name that does not exist is reported as a wrong setting."""
    with pytest.raises(ServiceRefusesError, match=r"the host mail\.invalid does not exist; check CAMPAIGN_SMTP_URL"):
        asyncio.run(Connector(parse_smtp_url("smtps://mail.invalid"), PATIENT).connect())


@pytest.mark.parametrize(
    ("script", "features"),
    [
        (SmtpScript(size=1000), Features(pipelining=True, eight_bit=True, size=1000)),
        (SmtpScript(size=None, capabilities=("8BITMIME",)), Features(pipelining=False, eight_bit=True)),
        (SmtpScript(helo_only=True), Features()),
        (SmtpScript(faults=(Fault("ehlo", Reply("250-mail.example\n250 SIZE")),)), Features(size=0)),
        (SmtpScript(faults=(Fault("ehlo", Reply("250-mail.example\n250-pipelining\n250 size 77")),)),
         Features(pipelining=True, size=77)),
    ],
    ids=["all", "no PIPELINING", "HELO only", "SIZE without a limit", "lower case"],
)  # fmt: skip
def test_what_the_server_offers_is_known(script: SmtpScript, features: Features) -> None:
    """The connection knows the server's capabilities, and uses HELO if EHLO is refused."""
    with SmtpServer(script) as server:
        outcome = asyncio.run(_features(server))
        assert outcome == features
        assert violations(server) == []


async def _features(server: SmtpServer) -> Features:
    connection = await connector(server).connect()
    connection.end("the test is over")
    return connection.features


def test_features_after_the_upgrade_count() -> None:
    """Capabilities offered under TLS count, and those offered in clear before it do not."""
    fault = Fault("ehlo", Reply("250-mail.example\n250-STARTTLS\n250 SIZE 1"), times=1)
    with SmtpServer(SmtpScript(faults=(fault,), tls="starttls", size=5000)) as server:
        outcome = asyncio.run(_features(server))
        assert (outcome.size, outcome.pipelining) == (5000, True)


def test_a_slow_server_is_waited_for() -> None:
    """A delay within the deadline is not a fault."""
    faults = tuple(Fault(at, Delay(0.05)) for at in ("connect", "ehlo", "auth"))
    with SmtpServer(SmtpScript(faults=faults, credentials=("me", "pw"))) as server:
        assert asyncio.run(_features(server)).pipelining
