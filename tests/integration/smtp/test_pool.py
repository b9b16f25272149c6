"""The connection pool: many messages over few connections, each sent once whatever the server does."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from campaign.clock import SystemClock
from campaign.errors import CampaignError, PermanentError, Scope, ServiceRefusesError, TransientError, UncertainError
from campaign.model import Receipt
from campaign.smtp import Pool
from support.fake_clock import FakeClock, eventually
from support.servers.script import Delay, Drop, Endless, Extra, Fault, Raw, Reply, Reset
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript
from support.smtp_transactions import RECEIPT, Post, accepted, connector, envelope, fates, mail, no_intent, violations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.smtp import Connector
    from campaign.smtp.connection import Connection
    from support.servers.script import Action

ONE_BY_ONE = ("8BITMIME",)


class Behind:
    """Several servers behind one name: each new connection goes to the next of them."""

    def __init__(self, connectors: Iterator[Connector]) -> None:
        self._connectors = connectors

    async def connect(self) -> Connection:
        """Return a connection to the next server."""
        return await next(self._connectors).connect()


def posted(script: SmtpScript, number: int, *, limit: int = 4) -> tuple[Counter[object], SmtpServer]:
    """Return the outcomes of several messages at one server."""

    async def run() -> list[Receipt | CampaignError]:
        post = Post(server, limit=limit)
        async with post.pool:
            outcomes = await post.send_all(number)
        assert post.transaction.number == fates(outcomes)[RECEIPT]
        return outcomes

    with SmtpServer(script) as server:
        outcomes = asyncio.run(run())
        assert violations(server) == []
        # each message was accepted at most once, and only if its outcome allows it
        got = Counter(accepted(server))
        assert set(got.values()) <= {1}
        for each, outcome in enumerate(outcomes):
            arrived = got[f"u{each}@d{each % 3}.example"]
            assert arrived or not isinstance(outcome, Receipt)
            assert not arrived or isinstance(outcome, (Receipt, UncertainError))
        return fates(outcomes), server


@pytest.mark.parametrize("capabilities", [("PIPELINING", "8BITMIME"), ONE_BY_ONE], ids=["pipelined", "lockstep"])
@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ((), {RECEIPT: 40}),
        ((Fault("mail", Reply("421 4.7.0 enough", close=True), per="connection", skip=5),), {RECEIPT: 40}),
        ((Fault("mail", Drop(), per="connection", skip=1),), {RECEIPT: 40}),
        ((Fault("mail", Reset(), per="connection", skip=7),), {RECEIPT: 40}),
        ((Fault("dot", Reply("250 2.0.0 the last one", close=True), per="connection", skip=3),), {RECEIPT: 40}),
        ((Fault("dot", Extra("421 4.7.0 enough", close=True), every=9),), {RECEIPT: 40}),
        ((Fault("rcpt", Reply("550 5.1.1 no such user"), to="*@d1.example"),), {RECEIPT: 27, PermanentError: 13}),
        ((Fault("rcpt", Reply("451 4.7.1 greylisted"), every=4),), {RECEIPT: 30, Scope.RECIPIENT: 10}),
        ((Fault("dot", Reply("550 5.7.1 refused"), every=10),), {RECEIPT: 36, PermanentError: 4}),
        ((Fault("dot", Drop(done=True), every=10),), {RECEIPT: 36, UncertainError: 4}),
        ((Fault("dot", Drop(), every=10),), {RECEIPT: 36, UncertainError: 4}),
        ((Fault("dot", Raw("nonsense\r\n", done=True), every=20),), {RECEIPT: 38, UncertainError: 2}),
        ((Fault("data", Drop(), every=10, times=2),), {RECEIPT: 38, Scope.RECIPIENT: 2}),
        ((Fault("rcpt", Endless(), times=1),), {RECEIPT: 39, Scope.RECIPIENT: 1}),
        ((Fault("dot", Reply("421 4.3.2 closing", close=True), every=20),), {RECEIPT: 40}),
        ((Fault("rcpt", Reply("421 4.7.0 enough", close=True), per="connection", skip=5),), {RECEIPT: 40}),
        ((Fault("data", Reply("421 4.7.0 enough", close=True), per="connection", skip=5),), {RECEIPT: 40}),
        ((Fault("dot", Reply("421 4.7.0 enough"), per="connection", skip=5),), {RECEIPT: 40}),
        ((Fault("mail", Reply("503 5.5.1 sequence"), per="connection", skip=5),), {RECEIPT: 40}),
        ((Fault("rcpt", Reply("421 4.7.0 always", close=True)),), {Scope.SERVER: 40}),
        ((Fault("dot", Reply("454 4.7.0 Maximum sending rate exceeded"), every=7),), {RECEIPT: 40}),
    ],
    ids=str,
)
def test_each_message_has_its_own_fate(
    faults: tuple[Fault, ...], expected: dict[object, int], capabilities: tuple[str, ...]
) -> None:
    """If faults end connections and refuse messages, all other messages are still sent, each once."""
    found, _ = posted(SmtpScript(faults=faults, capabilities=capabilities), 40)
    assert found == expected


def test_connections_are_used_again() -> None:
    """Connections are reused, and no more are opened than allowed."""
    found, server = posted(SmtpScript(), 200, limit=3)
    assert found == {RECEIPT: 200}
    assert len(server.events("open")) == 3


def test_no_second_connection_before_the_first_has_logged_in() -> None:
    """No second connection is opened until the first one has logged in."""
    script = SmtpScript(credentials=("me", "pw"), faults=(Fault("auth", Delay(0.1)),))
    _, server = posted(script, 20)
    second_open = [event["t"] for event in server.events("open")][1]
    assert second_open > min(event["t"] for event in server.events("auth"))


@pytest.mark.parametrize(
    "script",
    [
        SmtpScript(credentials=("me", "another"), faults=()),
        SmtpScript(auth_required=True, faults=(Fault("auth", Reply("535 5.7.8 no")),), credentials=("me", "pw")),
    ],
    ids=["wrong password", "535"],
)
def test_a_refused_login_is_not_tried_again(script: SmtpScript) -> None:
    """If the first login is refused, all messages are returned without a fault of theirs, and no second try is made."""

    async def run(server: SmtpServer) -> Counter[object]:
        url = f"smtp://me:pw@127.0.0.1:{server.port}?tls=none"
        post = Post(server, limit=10, url=url)
        async with post.pool:
            return fates([*await post.send_all(30), *await post.send_all(5)])

    with SmtpServer(script) as server:
        assert asyncio.run(run(server)) == {ServiceRefusesError: 35}
        assert len(server.events("refuse")) == 1


def test_a_login_refused_mid_run_stops_it() -> None:
    """A login that is refused while other connections are open is not retried, and the next message gets the error."""

    async def run(server: SmtpServer) -> None:
        post = Post(server, limit=10)
        async with post.pool:
            outcomes = fates([one for _ in range(10) for one in await post.send_all(4)])
        assert outcomes[ServiceRefusesError] > 0
        assert set(outcomes) <= {RECEIPT, ServiceRefusesError}

    faults = (Fault("auth", Reply("535 5.7.8 no"), skip=1),)
    with SmtpServer(SmtpScript(credentials=("me", "pw"), faults=faults)) as server:
        asyncio.run(run(server))
        assert 1 <= len(server.events("refuse")) <= 2


@pytest.mark.parametrize("reply", ["530 5.7.0 authentication required", "535 5.7.8 expired"])
def test_authentication_lost_mid_run_blames_nobody(reply: str) -> None:
    """If the server requires a new login in the middle, the run stops, and no message is at fault."""
    found, _ = posted(SmtpScript(faults=(Fault("mail", Reply(reply), skip=3),)), 12, limit=1)
    assert found == {RECEIPT: 3, ServiceRefusesError: 9}


def test_a_server_that_allows_fewer_connections() -> None:
    """The pool settles at the number of connections that the server allows, without many retries."""
    found, server = posted(SmtpScript(connections=2, faults=(Fault("dot", Delay(0.005)),)), 100, limit=10)
    assert found == {RECEIPT: 100}
    assert len(server.events("refuse")) <= 2


def test_fewer_connections_where_the_server_counts_submissions() -> None:
    """If the server refuses messages of too many connections (432), connections are closed, and no message fails."""
    found, server = posted(SmtpScript(submissions=2, faults=(Fault("dot", Delay(0.005)),)), 100, limit=8)
    assert found == {RECEIPT: 100}
    refused = [event for event in server.events("refuse") if event["code"] == 432]
    assert 1 <= len(refused) <= 6, "each refusal closes one connection"
    assert len(server.events("open")) <= 8


def test_a_server_that_is_slow_to_count_a_closed_connection() -> None:
    """A server may count closed connections for some seconds (432): the messages wait meanwhile, and none fails."""
    found, _ = posted(SmtpScript(submissions=1, closing=1.5, faults=(Fault("dot", Delay(0.005)),)), 6, limit=4)
    assert found == {RECEIPT: 6}


def test_a_server_that_wants_no_connection_at_all_is_left_alone() -> None:
    """If the server refuses (432) although one connection is left, the message comes back as the server's fault."""
    found, _ = posted(SmtpScript(submissions=0), 3, limit=1)
    assert found == {Scope.SERVER: 3}


def test_a_limit_that_never_ends_ends_the_message() -> None:
    """A message that is too fast again and again comes back after a few tries, as the server's fault."""
    found, server = posted(SmtpScript(faults=(Fault("dot", Reply("454 4.7.0 sending rate exceeded")),)), 1, limit=1)
    assert found == {Scope.SERVER: 1}
    assert 5 <= len(server.events("dot")) <= 10


def test_one_connection_more_is_tried_later() -> None:
    """If the server allowed fewer connections than configured, one more is tried after a minute."""

    async def run(server: SmtpServer) -> list[int]:
        clock = FakeClock()
        post = Post(server, limit=2, clock=clock)
        opened: list[int] = []
        async with post.pool:
            for _ in range(3):
                assert fates(await post.send_all(30)) == {RECEIPT: 30}
                opened.append(len(server.events("open")))
                clock.jump(31.0)
        return opened

    refused = Fault("connect", Reply("421 4.7.0 one connection only", close=True), skip=1, times=1)
    with SmtpServer(SmtpScript(faults=(refused,))) as server:
        # the second one is refused, then not tried for a while, then accepted
        assert asyncio.run(run(server)) == [2, 2, 3]


def test_the_pool_takes_leave() -> None:
    """When the pool closes, every idle connection sends QUIT."""

    async def run(server: SmtpServer) -> None:
        post = Post(server, limit=3)
        async with post.pool:
            await post.send_all(30)
        await eventually(lambda: sum(event["stage"] == "quit" for event in server.events("fault")) == 3)

    bye = Fault("quit", Reply("221 2.0.0 bye"))
    with SmtpServer(SmtpScript(faults=(bye, Fault("dot", Delay(0.01))))) as server:
        asyncio.run(run(server))
        assert len(server.events("open")) == 3


@pytest.mark.parametrize(
    "fault",
    [
        Fault("connect", Reply("421 4.3.2 not now", close=True)),
        Fault("connect", Drop()),
        Fault("ehlo", Reset()),
        Fault("mail", Drop()),
        Fault("mail", Reply("421 4.3.2 not now", close=True)),
        Fault("mail", Reply("451 4.3.0 not now")),
    ],
    ids=str,
)
def test_a_server_that_is_not_ready_blames_nobody(fault: Fault) -> None:
    """While the server is not ready, all messages are returned with a fault of the server."""
    found, _ = posted(SmtpScript(faults=(fault,)), 10)
    assert found == {Scope.SERVER: 10}


@pytest.mark.parametrize(
    "action", [Reply("421 4.4.2 idle", close=True), Raw("250 hello?\r\n"), Drop(), Reset()], ids=str
)
def test_what_happens_while_idle_harms_nobody(action: Action) -> None:
    """An idle connection that is closed, or on which the server sends data, is replaced by a new one."""

    async def run(server: SmtpServer) -> None:
        post = Post(server)
        async with post.pool:
            assert isinstance(await post.send(1), Receipt)
            await eventually(lambda: post.pool.open == 0)
            assert isinstance(await post.send(2), Receipt)

    fault = Fault("idle", action, times=1)
    with SmtpServer(SmtpScript(faults=(fault,), idle_after=0.15)) as server:
        asyncio.run(run(server))
        assert len(accepted(server)) == len(server.events("open")) == 2


def test_a_message_over_size_is_refused_before_data() -> None:
    """A message above the server's SIZE fails with both sizes, and no byte of it is sent."""

    async def run(server: SmtpServer) -> None:
        post = Post(server)
        async with post.pool:
            await post.pool.warm_up()
            big = mail(body=b"x" * 70 + b"\r\n" * 100)
            with pytest.raises(PermanentError, match=f"{len(big)} bytes, but the server accepts at most 200"):
                await post.pool.send(envelope(big), big, no_intent)
            assert isinstance(await post.send(1), Receipt)

    with SmtpServer(SmtpScript(size=200)) as server:
        asyncio.run(run(server))
        assert len(server.events("data")) == 1


def test_a_server_gets_only_what_it_offers_to_take() -> None:
    """If one server behind a name lacks 8BITMIME, it gets no 8-bit message, and the pool then asks for 7-bit."""

    async def run(rich: SmtpServer, poor: SmtpServer) -> None:
        connectors = iter([connector(rich), connector(poor)])
        pool = Pool(Behind(connectors), limit=2, clock=SystemClock())
        message = mail(body="Zoë\r\n".encode())
        async with pool:
            await pool.warm_up()
            assert pool.features.eight_bit
            sent = [
                pool.send(envelope(message, f"u{n}@example.com", eight_bit=True), message, no_intent) for n in range(9)
            ]
            outcomes = await asyncio.gather(*sent, return_exceptions=True)
            assert not pool.features.eight_bit
        back = [one for one in outcomes if not isinstance(one, Receipt)]
        assert {one.scope for one in back if isinstance(one, TransientError)} == {Scope.NONE}
        assert len(back) == sum(isinstance(one, TransientError) for one in back)
        assert len(accepted(rich)) == 9 - len(back)

    poor_script = SmtpScript(capabilities=("PIPELINING",))
    with SmtpServer(SmtpScript(faults=(Fault("dot", Delay(0.05)),))) as rich, SmtpServer(poor_script) as poor:
        asyncio.run(run(rich, poor))
        assert poor.events("open")
        assert accepted(poor) == violations(poor) == violations(rich) == []


def test_the_smallest_limit_of_servers_behind_one_name_counts() -> None:
    """A message above the smallest SIZE of the servers behind one name fails before it is begun, on any connection."""

    async def run(small: SmtpServer, large: SmtpServer) -> None:
        connectors = iter([connector(small), connector(large)])
        pool = Pool(Behind(connectors), limit=2, clock=SystemClock())
        big = mail(body=b"x" * 70 + b"\r\n" * 100)
        async with pool:
            await asyncio.gather(*[pool.send(envelope(mail()), mail(), no_intent) for _ in range(4)])
            assert pool.open == 2
            with pytest.raises(PermanentError, match="the server accepts at most 200"):
                await pool.send(envelope(big), big, no_intent)

    slow = (Fault("dot", Delay(0.05)),)
    with SmtpServer(SmtpScript(size=200, faults=slow)) as small, SmtpServer(SmtpScript(faults=slow)) as large:
        asyncio.run(run(small, large))


def test_a_pool_that_rests_opens_a_connection_for_the_next_message() -> None:
    """Idle connections end with QUIT, and the pool goes on as before."""

    async def run() -> list[Receipt | CampaignError]:
        post = Post(server, limit=2)
        async with post.pool:
            outcomes = await post.send_all(6)
            post.pool.rest()
            assert post.pool.open == 0
            return outcomes + await post.send_all(6)

    slow = Fault("dot", Delay(0.05))  # on a quick server one connection may send all before the second is open
    with SmtpServer(SmtpScript(faults=(slow,))) as server:
        assert fates(asyncio.run(run())) == {RECEIPT: 12}
        assert violations(server) == []
        assert len(server.events("open")) == 4


def test_a_refused_login_is_tried_again_when_it_is_warmed_up_again() -> None:
    """The refusal holds for all messages until the next warm-up; two at the same time are one login."""
    script = SmtpScript(faults=(Fault("auth", Reply("535 5.7.8 No"), times=1),), credentials=("acme", "secret"))

    async def run() -> list[Receipt | CampaignError]:
        post = Post(server, limit=2)
        async with post.pool:
            with pytest.raises(ServiceRefusesError):
                await post.pool.warm_up()
            await asyncio.gather(post.pool.warm_up(), post.pool.warm_up())
            assert post.pool.open == 1
            return await post.send_all(3)

    with SmtpServer(script) as server:
        assert fates(asyncio.run(run())) == {RECEIPT: 3}
