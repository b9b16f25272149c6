"""The intent is durable before the final dot: a message without one is not sent, and one with it is sent once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from campaign.clock import SystemClock
from campaign.errors import CampaignError, LaterError, PerhapsSentError, Scope, SendLogError, ServiceRefusesError
from campaign.model import Receipt
from servers.script import Delay, Drop, Fault, Reply, Reset
from servers.smtp import SmtpServer
from servers.smtp_script import SmtpScript
from timekeeping import FakeClock, eventually, settled
from transactions import RECEIPT, Post, accepted, digest, fates, mail, violations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from servers.script import Action


@pytest.mark.parametrize("capabilities", [("PIPELINING",), ()], ids=["pipelined", "lockstep"])
def test_the_intent_comes_after_the_body_and_before_the_dot(capabilities: tuple[str, ...]) -> None:
    """When the intent is made durable the server has the message and lacks the dot; it gets the dot afterwards."""

    async def run(server: SmtpServer) -> None:
        post = Post(server)
        seen: list[tuple[int, int]] = []

        async def before_dot() -> None:
            await eventually(lambda: bool(server.events("data")))
            seen.append((len(server.events("data")), len(server.events("accept", "dot"))))

        async with post.pool:
            assert isinstance(await post.send(1, before_dot), Receipt)
        assert seen == [(1, 0)]

    with SmtpServer(SmtpScript(capabilities=capabilities)) as server:
        asyncio.run(run(server))
        assert len(accepted(server)) == 1


@pytest.mark.parametrize(
    "error",
    [SendLogError("the disk is full"), LaterError("the token grew old", scope=Scope.NOBODY), ServiceRefusesError("no")],
)
def test_a_message_whose_intent_failed_is_not_sent(error: CampaignError) -> None:
    """Without a durable intent no dot is written; its connection ends, and other messages go over another one."""

    async def run(server: SmtpServer) -> None:
        post = Post(server, limit=1)

        async def before_dot() -> None:
            raise error

        async with post.pool:
            first, second = await asyncio.gather(post.send(1, before_dot), post.send(2))
        assert first is error
        assert isinstance(second, Receipt)

    with SmtpServer() as server:
        asyncio.run(run(server))
        assert accepted(server) == ["u2@d2.example"]
        assert server.events("dot") == []


@pytest.mark.parametrize("action", [Drop(), Reset(), Reply("421 4.3.2 closing", close=True)], ids=str)
def test_a_connection_lost_amid_the_message_is_a_plain_retry(action: Action) -> None:
    """A server that leaves while the intent is made durable gets no dot, and the message is not in doubt."""

    async def run(server: SmtpServer) -> Receipt | CampaignError:
        post = Post(server)

        async def before_dot() -> None:
            await eventually(lambda: bool(server.events("close")))
            await settled()

        async with post.pool:
            return await post.send(1, before_dot)

    with SmtpServer(SmtpScript(faults=(Fault("body", action),))) as server:
        outcome = asyncio.run(run(server))
        assert isinstance(outcome, LaterError)
        assert outcome.scope is Scope.RECIPIENT
        assert server.events("accept", "dot") == []


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("tls", ["none", "starttls"])
@pytest.mark.parametrize("action", [Drop(), Reset(), Reply("421 4.3.2 closing", close=True)], ids=str)
def test_an_end_that_a_busy_loop_has_not_read_yet_is_seen(action: Action, tls: str, *, uvloop: bool) -> None:
    """Though the loop did something else when the server left amid the message, the message is not in doubt."""

    async def run(server: SmtpServer) -> Receipt | CampaignError:
        post = Post(server, limit=1)

        async def before_dot() -> None:
            time.sleep(0.2)  # noqa: ASYNC251, TID251 - this is the busy loop

        async with post.pool:
            return await post.send(1, before_dot)

    loop = pytest.importorskip("uvloop").new_event_loop if uvloop else None
    with SmtpServer(SmtpScript(faults=(Fault("body", action),), tls=tls)) as server:
        with asyncio.Runner(loop_factory=loop) as runner:
            outcome = runner.run(run(server))
        assert isinstance(outcome, LaterError)
        assert server.events("accept", "dot") == []


# -- a disk that is slower than the server -----------------------------------------------------------------------


def slow_disk(
    server: SmtpServer,
    number: int,
    fail: Callable[[int], CampaignError | None],
    *,
    body: bytes = b"Hello\r\n",
    busy: float = 0.0,
) -> tuple[list[object], list[int]]:
    """Return the outcomes of so many messages whose intents take longer than their transactions, and the intents.

    The event loop does something else for `busy` seconds in each of its turns.
    """
    clock, few = FakeClock(), asyncio.Semaphore(10)
    intents, early = list[int](), list[bool]()

    def intent(each: int) -> Callable[[], Awaitable[None]]:
        async def before_dot() -> None:
            await settled()
            clock.jump(0.01)
            intents.append(each)
            to = f"u{each}@d{each % 3}.example"
            assert to not in accepted(server)
            early.append([to] not in [event["rcpt"] for event in server.events("data")])
            if error := fail(each):
                raise error

        return before_dot

    async def run() -> list[object]:
        post = Post(server, limit=2, clock=clock)

        async def one(each: int) -> Receipt | CampaignError:
            async with few:
                return await post.send(each, intent(each), early=True, body=body)

        def work() -> None:
            time.sleep(busy)  # noqa: TID251 - this is the busy loop
            asyncio.get_running_loop().call_soon(work)

        if busy:
            work()
        async with post.pool:
            return list(await asyncio.gather(*map(one, range(number))))

    outcomes = asyncio.run(run())
    assert any(early)
    return outcomes, intents


@pytest.mark.parametrize("lines", [1, 5_000], ids=["with its dot", "before its dot"])
def test_an_intent_made_ahead_of_its_time_is_made_once(lines: int) -> None:
    """An intent made durable before there is a connection is still made once, and before its message leaves."""
    body = b".hidden\r\n" * lines
    with SmtpServer() as server:
        outcomes, intents = slow_disk(server, 60, lambda _: None, body=body)
        mails = [mail(f"u{each}@d{each % 3}.example", body=body, number=each) for each in range(60)]
        assert {event["sha256"] for event in server.events("accept")} == set(map(digest, mails))
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert sorted(intents) == list(range(60))
        assert sorted(accepted(server)) == sorted(f"u{each}@d{each % 3}.example" for each in range(60))
        assert violations(server) == []


def test_at_a_slow_server_no_intent_is_made_ahead_of_its_time() -> None:
    """Where the server takes its time no intent is made durable before the server waits for that very message."""
    begun: list[int] = []

    async def run(server: SmtpServer) -> list[object]:
        async def before_dot() -> None:
            begun.append(len(server.events("data")))
            await SystemClock().sleep(0.1)

        post = Post(server, limit=1)
        async with post.pool:
            return list(await asyncio.gather(*[post.send(each, before_dot, early=True) for each in range(5)]))

    with SmtpServer(SmtpScript(faults=(Fault("dot", Delay(0.05)),))) as server:
        outcomes = asyncio.run(run(server))
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)
    assert begun == [1, 2, 3, 4, 5]


def test_an_intent_that_failed_ahead_of_its_time_stops_its_message_only() -> None:
    """A message whose intent failed ahead of its time is not sent, and its fate is its own."""
    with SmtpServer() as server:
        outcomes, _ = slow_disk(server, 60, lambda each: LaterError("too old") if each % 5 == 0 else None)
        late = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, LaterError)]
        assert late == list(range(0, 60, 5))
        assert len(accepted(server)) == 48
        assert violations(server) == []


def test_a_server_that_leaves_right_after_its_354_gets_no_dot() -> None:
    """It left while the loop was busy, so that nobody has read it yet; the message is not in doubt."""
    with SmtpServer(SmtpScript(faults=(Fault("data", Reply("354 go on", close=True), every=7),))) as server:
        outcomes, _ = slow_disk(server, 60, lambda _: None, busy=0.003)
        counted = fates(outcomes)  # type: ignore[arg-type]
        assert set(counted) <= {RECEIPT, Scope.RECIPIENT}
        assert counted[RECEIPT] == len(accepted(server)) >= 40
        assert violations(server) == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("mail", Reply("421 4.7.0 enough", close=True), per="connection", skip=3),
        Fault("mail", Drop(), per="connection", skip=2),
        Fault("rcpt", Reply("451 4.7.1 greylisted"), every=7),
        Fault("dot", Reply("451 4.3.0 not now"), every=7),
    ],
    ids=str,
)
def test_faults_find_an_intent_ahead_of_its_time_no_worse(fault: Fault) -> None:
    """Connections that end and recipients that are refused do not double an intent that was made ahead of its time."""
    with SmtpServer(SmtpScript(faults=(fault,))) as server:
        outcomes, intents = slow_disk(server, 60, lambda _: None)
        counted = fates(outcomes)  # type: ignore[arg-type]
        assert counted[RECEIPT] == len(accepted(server)) == len(set(accepted(server)))
        assert counted[RECEIPT] + counted[Scope.RECIPIENT] == 60
        assert len(intents) == len(set(intents))
        assert violations(server) == []


def test_after_a_message_in_doubt_every_intent_comes_after_the_body() -> None:
    """At a server that once lost a message, no intent is made before the server has the message."""
    early: dict[int, bool] = {}

    async def run(server: SmtpServer) -> list[object]:
        clock, few = FakeClock(), asyncio.Semaphore(6)
        post = Post(server, limit=1, clock=clock)

        async def one(each: int) -> Receipt | CampaignError:
            async def before_dot() -> None:
                await settled()
                clock.jump(0.01)
                begun = [event["rcpt"] for event in server.events("data")]
                early[each] = [f"u{each}@d{each % 3}.example"] not in begun

            async with few:
                return await post.send(each, before_dot, early=True)

        async with post.pool:
            return [outcome for some in (range(60), range(60, 80)) for outcome in await asyncio.gather(*map(one, some))]

    with SmtpServer(SmtpScript(faults=(Fault("dot", Drop(), skip=45, times=1),))) as server:
        outcomes = asyncio.run(run(server))
        assert fates(outcomes) == {RECEIPT: 79, PerhapsSentError: 1}  # type: ignore[arg-type]
        assert any(early[each] for each in range(45))
        assert not any(early[each] for each in range(60, 80))
        assert violations(server) == []
