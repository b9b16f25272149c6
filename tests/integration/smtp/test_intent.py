"""The intent is durable before the final dot: without it a message is not sent, and with it it is sent once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from campaign.clock import SystemClock
from campaign.errors import CampaignError, Scope, SendLogError, ServiceRefusesError, TransientError, UncertainError
from campaign.model import Receipt
from support.fake_clock import eventually, settled
from support.servers.script import Delay, Drop, Fault, Reply, Reset
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript
from support.smtp_transactions import RECEIPT, Post, accepted, fates, violations

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from support.servers.script import Action


@pytest.mark.parametrize("capabilities", [("PIPELINING",), ()], ids=["pipelined", "lockstep"])
def test_the_intent_comes_after_the_body_and_before_the_dot(capabilities: tuple[str, ...]) -> None:
    """The intent is written after the body was sent and before the final dot."""

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
    [
        SendLogError("the disk is full"),
        TransientError("the token became too old", scope=Scope.NONE),
        ServiceRefusesError("no"),
    ],
)
def test_a_message_whose_intent_failed_is_not_sent(error: CampaignError) -> None:
    """If the intent fails, no dot is written, the connection ends, and other messages use another connection."""

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
    """If the server closes while the intent is written, no dot follows, and the message is retried, not uncertain."""

    async def run(server: SmtpServer) -> Receipt | CampaignError:
        post = Post(server)

        async def before_dot() -> None:
            await eventually(lambda: bool(server.events("close")))
            await settled()

        async with post.pool:
            return await post.send(1, before_dot)

    with SmtpServer(SmtpScript(faults=(Fault("body", action),))) as server:
        outcome = asyncio.run(run(server))
        assert isinstance(outcome, TransientError)
        assert outcome.scope is Scope.RECIPIENT
        assert server.events("accept", "dot") == []


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("tls", ["none", "starttls"])
@pytest.mark.parametrize("action", [Drop(), Reset(), Reply("421 4.3.2 closing", close=True)], ids=str)
def test_an_end_that_a_busy_loop_has_not_read_yet_is_seen(action: Action, tls: str, *, uvloop: bool) -> None:
    """If the server closes while the event loop is busy, no dot is written, and the message is not uncertain."""

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
        assert isinstance(outcome, TransientError)
        assert server.events("accept", "dot") == []


# -- many messages -----------------------------------------------------------------------------------------------


class Intents:
    """The intents of many messages, each with a slow write, and how many were open at once.

    Args:
        server: where the messages go.
        seconds: how long the disk takes for each.
    """

    def __init__(self, server: SmtpServer, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._without_outcome: set[int] = set()
        #: The numbers of the messages, in the order in which their intents were made.
        self.made: list[int] = []
        #: How many intents were without an outcome at once, at most.
        self.most = 0

    async def send(
        self, post: Post, number: int, fail: Callable[[int], CampaignError | None]
    ) -> Receipt | CampaignError:
        """Return the outcome of a message; its intent fails with the error that `fail` returns, if any."""

        async def before_dot() -> None:
            self.made.append(number)
            self._without_outcome.add(number)
            self.most = max(self.most, len(self._without_outcome))
            await SystemClock().sleep(self._seconds)
            to = f"u{number}@d{number % 3}.example"
            assert [to] in [event["rcpt"] for event in self._server.events("data")], "the intent was made ahead"
            assert to not in accepted(self._server)
            if error := fail(number):
                raise error

        outcome = await post.send(number, before_dot)
        self._without_outcome.discard(number)
        return outcome


def with_intents(
    server: SmtpServer,
    number: int,
    *,
    seconds: float = 0.01,
    fail: Callable[[int], CampaignError | None] = lambda _: None,
) -> tuple[Counter[object], Intents]:
    """Return the outcomes of messages that share two connections, and their intents."""

    async def run() -> list[Receipt | CampaignError]:
        post = Post(server, limit=2)
        async with post.pool:
            return list(await asyncio.gather(*[intents.send(post, each, fail) for each in range(number)]))

    intents = Intents(server, seconds)
    outcomes = asyncio.run(run())
    assert violations(server) == []
    return fates(outcomes), intents


@pytest.mark.parametrize("seconds", [0.0, 0.01], ids=["fast disk", "slow disk"])
@pytest.mark.parametrize("delay", [0.0, 0.02], ids=["fast server", "slow server"])
def test_no_intent_is_made_ahead(delay: float, seconds: float) -> None:
    """Each intent is written once, after its message's body, and at most one per connection is open."""
    with SmtpServer(SmtpScript(faults=(Fault("dot", Delay(delay)),))) as server:
        outcomes, intents = with_intents(server, 40, seconds=seconds)
        assert outcomes == {RECEIPT: 40}
        assert sorted(intents.made) == list(range(40))
        assert intents.most == 2


def test_an_intent_that_failed_stops_its_message_only() -> None:
    """If an intent fails, only its own message is not sent."""
    with SmtpServer() as server:
        outcomes, _ = with_intents(server, 60, fail=lambda each: TransientError("too old") if each % 5 == 0 else None)
        assert outcomes == {RECEIPT: 48, Scope.RECIPIENT: 12}
        assert sorted(accepted(server)) == sorted(f"u{each}@d{each % 3}.example" for each in range(60) if each % 5)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("mail", Reply("421 4.7.0 enough", close=True), per="connection", skip=3),
        pytest.param(Fault("mail", Drop(), per="connection", skip=2), marks=pytest.mark.long),
        pytest.param(Fault("rcpt", Reply("451 4.7.1 greylisted"), every=7), marks=pytest.mark.long),
        Fault("data", Reply("354 go on", close=True), every=7),
        Fault("body", Drop(), every=7),
        pytest.param(Fault("body", Reply("421 4.3.2 closing", close=True), every=7), marks=pytest.mark.long),
        pytest.param(Fault("dot", Reply("451 4.3.0 not now"), every=7), marks=pytest.mark.long),
        Fault("dot", Drop(), every=7),
    ],
    ids=str,
)
def test_faults_leave_no_more_intents_without_an_outcome(fault: Fault) -> None:
    """If a connection ends, even while an intent is written, the next intent waits for that message's outcome."""
    with SmtpServer(SmtpScript(faults=(fault,))) as server:
        outcomes, intents = with_intents(server, 60)
        assert outcomes[RECEIPT] == len(accepted(server)) == len(set(accepted(server)))
        assert outcomes[RECEIPT] + outcomes[Scope.RECIPIENT] + outcomes[UncertainError] == 60
        assert outcomes[UncertainError] == sum(event["action"] == "Drop" for event in dots(server))
        if fault.action != Reply("421 4.3.2 closing", close=True):  # after it, the same message goes on elsewhere
            assert len(intents.made) == len(set(intents.made))
        assert intents.most <= 2


def dots(server: SmtpServer) -> list[dict[str, Any]]:
    """Return the faults that struck at the final dot."""
    return [event for event in server.events("fault") if event["stage"] == "dot"]


def test_a_server_that_leaves_right_after_its_354_gets_no_dot() -> None:
    """If the server closes after 354 while the event loop is busy, no dot is written and no message is uncertain."""

    async def run(server: SmtpServer) -> list[Receipt | CampaignError]:
        def work() -> None:
            time.sleep(0.003)  # noqa: TID251 - this is the busy loop
            asyncio.get_running_loop().call_soon(work)

        work()
        post = Post(server, limit=2)
        async with post.pool:
            return await post.send_all(60)

    with SmtpServer(SmtpScript(faults=(Fault("data", Reply("354 go on", close=True), every=7),))) as server:
        counted = fates(asyncio.run(run(server)))
        assert set(counted) <= {RECEIPT, Scope.RECIPIENT}
        assert counted[RECEIPT] == len(accepted(server)) >= 40
        assert violations(server) == []


@pytest.mark.parametrize("capabilities", [("PIPELINING",), ()], ids=["pipelined", "lockstep"])
def test_nothing_is_written_between_the_dot_and_its_reply(capabilities: tuple[str, ...]) -> None:
    """While a server has not yet replied to a dot, no byte of another message is written to that connection."""

    async def run(server: SmtpServer) -> Counter[object]:
        post = Post(server, limit=2)
        async with post.pool:
            return fates(await post.send_all(20))

    script = SmtpScript(capabilities=capabilities, faults=(Fault("dot", Delay(0.02)),))
    with SmtpServer(script) as server:
        assert asyncio.run(run(server)) == {RECEIPT: 20}
        assert violations(server) == []
