"""Servers that cannot be reached, and the capabilities of those that can."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from contextlib import ExitStack, closing

import pytest

from campaign.config.smtp_url import parse_smtp_url
from campaign.errors import Scope, ServiceRefusesError, TransientError
from campaign.smtp import Connector
from campaign.smtp.terms import Features
from support.servers.script import Delay, Fault, Reply
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript
from support.smtp_transactions import PATIENT, connector, violations


def test_nobody_listens() -> None:
    """A refused connection is a temporary fault of the server."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(TransientError, match=f"127.0.0.1:{port} cannot be reached") as caught:
        asyncio.run(Connector(parse_smtp_url(f"smtp://127.0.0.1:{port}?tls=none"), PATIENT).connect())
    assert caught.value.scope is Scope.SERVER


def test_nobody_answers_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not accept the connection is given up after the deadline."""
    monkeypatch.setattr("campaign.smtp.connector._STEP_TIMEOUT_S", 0.3)
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as listening, ExitStack() as crowd:
        address = listening.getsockname()
        for _ in range(2):  # the queue is full, so the next client gets no answer
            waiting = crowd.enter_context(closing(socket.socket()))
            waiting.settimeout(0)
            waiting.connect_ex(address)
        with pytest.raises(TransientError) as caught:
            asyncio.run(Connector(parse_smtp_url(f"smtp://127.0.0.1:{address[1]}?tls=none"), PATIENT).connect())
    assert caught.value.scope is Scope.SERVER


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
