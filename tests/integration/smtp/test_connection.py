"""One SMTP connection: what each reply, or missing reply, means for the message being sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from campaign.errors import (
    CampaignError,
    DeliveryError,
    PermanentError,
    Scope,
    ServiceRefusesError,
    TransientError,
    UncertainError,
)
from campaign.model import Receipt
from support.servers.script import Delay, Drop, Endless, Extra, Fault, Raw, Reply, Reset, Silence, Trickle
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript
from support.smtp_transactions import ADA, BOB, PATIENT, QUICK, accepted, connector, fate, violations

if TYPE_CHECKING:
    from support.servers.script import Action

RECIPIENT, SERVER = Scope.RECIPIENT, Scope.SERVER
LOCKSTEP = ("8BITMIME", "ENHANCEDSTATUSCODES")
PIPELINED = ("PIPELINING", *LOCKSTEP)
ways = pytest.mark.parametrize("capabilities", [PIPELINED, LOCKSTEP], ids=["pipelined", "lockstep"])


def outlasts_its_time(action: Action) -> bool:
    """Return whether only a time-out ends the wait for this answer."""
    return isinstance(action, Silence | Endless) or (isinstance(action, Trickle) and action.interval >= 0.05)


def one_message(*faults: Fault, capabilities: tuple[str, ...] = PIPELINED) -> tuple[object, SmtpServer]:
    """Return the outcome of one message at a server with these faults, and the server."""
    timeouts = QUICK if any(outlasts_its_time(fault.action) for fault in faults) else PATIENT

    async def run(server: SmtpServer) -> object:
        connection = await connector(server, timeouts).connect()
        outcome = await fate(connection)
        connection.end("the test is over")
        return outcome

    with SmtpServer(SmtpScript(faults=faults, capabilities=capabilities)) as server:
        outcome = asyncio.run(run(server))
        assert violations(server) == []
        return outcome, server


def is_fate(outcome: object, expected: object) -> bool:
    """Return whether an outcome is as expected: a receipt's code, a scope of `later`, or a class of errors."""
    if isinstance(expected, int):
        return isinstance(outcome, Receipt) and outcome.code == expected
    if isinstance(expected, Scope):
        return isinstance(outcome, TransientError) and outcome.scope is expected
    return type(outcome) is expected


@ways
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Drop(), UncertainError),
        (Drop(done=True), UncertainError),
        (Reset(done=True), UncertainError),
        (Silence(done=True), UncertainError),
        (Raw("nonsense\r\n", done=True), UncertainError),
        (Raw("250-Ok\r\n354 go on\r\n", done=True), UncertainError),
        (Endless(done=True), UncertainError),
        (Endless("250-", done=True), UncertainError),
        (Trickle(interval=0.05, done=True), UncertainError),
        (Reply("354 go on", done=True), UncertainError),
        (Reply("300 what?", done=True), UncertainError),
        (Reply("250 Ok"), 250),
        (Reply("250 Ok", close=True), 250),
        (Reply("251 forwarded"), 251),
        (Reply("299 well"), 299),
        (Reply("250-one\n250-two\n250 three"), 250),
        (Raw("250 Ok\r\nnonsense\r\n", done=True), 250),
        (Extra("421 closing"), 250),
        (Delay(0.1), 250),
        (Trickle(interval=0.002), 250),
        (Reply("450 4.2.1 mailbox busy"), RECIPIENT),
        (Reply("451 4.7.1 greylisted"), RECIPIENT),
        (Reply("452 4.3.1 system storage"), SERVER),
        (Reply("454 4.7.0 Throttling failure: Maximum sending rate exceeded."), SERVER),
        (Reply("421 4.3.2 shutting down"), SERVER),
        (Reply("421 4.3.2 shutting down", close=True), SERVER),
        (Reply("550 5.1.1 no such user"), PermanentError),
        (Reply("552 5.2.2 mailbox full"), PermanentError),
        (Reply("554 5.7.1 refused"), PermanentError),
        (Reply("530 5.7.0 authentication required"), ServiceRefusesError),
        (Reply("535 5.7.8 credentials"), ServiceRefusesError),
    ],
    ids=str,
)
def test_answers_to_the_final_dot(action: Action, expected: object, capabilities: tuple[str, ...]) -> None:
    """Any 2xx means accepted, 4xx and 5xx mean refused, and everything else leaves the message uncertain."""
    outcome, _ = one_message(Fault("dot", action), capabilities=capabilities)
    assert is_fate(outcome, expected), outcome


@ways
@pytest.mark.parametrize(
    ("at", "action", "expected"),
    [
        ("mail", Drop(), SERVER),
        ("mail", Reset(), SERVER),
        ("mail", Silence(), SERVER),
        ("mail", Endless(), SERVER),
        ("mail", Raw("nonsense\r\n"), SERVER),
        ("mail", Reply("421 4.7.0 closing", close=True), SERVER),
        ("mail", Reply("451 4.3.0 not now"), SERVER),
        ("mail", Reply("452 4.3.1 system storage"), SERVER),
        ("mail", Reply("454 4.7.0 throttled"), SERVER),
        ("mail", Reply("354 go on"), SERVER),
        ("mail", Reply("552 5.3.4 too big"), PermanentError),
        ("mail", Reply("550 5.7.1 sender refused"), ServiceRefusesError),
        ("mail", Reply("530 5.7.0 authentication required"), ServiceRefusesError),
        ("mail", Reply("503 5.5.1 bad sequence"), ServiceRefusesError),
        ("rcpt", Reply("504 5.5.2 <box>: Helo command rejected: need a name"), ServiceRefusesError),
        ("rcpt", Reply("432 4.3.2 too many submissions"), SERVER),
        ("rcpt", Drop(), RECIPIENT),
        ("rcpt", Reset(), RECIPIENT),
        ("rcpt", Silence(), RECIPIENT),
        ("rcpt", Raw("nonsense\r\n"), RECIPIENT),
        ("rcpt", Reply("421 4.7.0 closing"), SERVER),
        ("rcpt", Reply("421 4.7.0 closing", close=True), SERVER),
        ("rcpt", Reply("450 4.2.1 mailbox busy"), RECIPIENT),
        ("rcpt", Reply("451 4.7.1 greylisted"), RECIPIENT),
        ("rcpt", Reply("452 4.5.3 too many recipients"), RECIPIENT),
        ("rcpt", Reply("552 too many recipients"), RECIPIENT),
        ("rcpt", Reply("552 5.2.2 mailbox full"), PermanentError),
        ("rcpt", Reply("454 4.7.0 throttled"), SERVER),
        ("rcpt", Reply("550 5.1.1 no such user"), PermanentError),
        ("rcpt", Reply("553 5.1.3 odd address"), PermanentError),
        ("rcpt", Reply("354 go on"), RECIPIENT),
        ("rcpt", Reply("535 5.7.8 credentials"), ServiceRefusesError),
        ("data", Drop(), RECIPIENT),
        ("data", Reset(), RECIPIENT),
        ("data", Silence(), RECIPIENT),
        ("data", Raw("nonsense\r\n"), RECIPIENT),
        ("data", Trickle(interval=0.05), RECIPIENT),
        ("data", Reply("421 4.7.0 closing", close=True), SERVER),
        ("data", Reply("451 4.3.0 not now"), RECIPIENT),
        ("data", Reply("452 4.3.1 system storage"), SERVER),
        ("data", Reply("454 4.7.0 throttled"), SERVER),
        ("data", Reply("554 5.7.1 refused"), PermanentError),
        ("data", Reply("250 Ok"), RECIPIENT),
        ("data", Reply("334 what?"), RECIPIENT),
    ],
    ids=str,
)
def test_answers_before_the_message(at: str, action: Action, expected: object, capabilities: tuple[str, ...]) -> None:
    """After any fault before 354 nothing was sent, not a single byte of the message."""
    outcome, server = one_message(Fault(at, action), capabilities=capabilities)
    assert is_fate(outcome, expected), outcome
    assert server.events("accept", "dot") == []


@ways
@pytest.mark.parametrize(
    "fault",
    [
        Fault("rcpt", Reply("550 5.1.1 no such user"), times=1),
        Fault("rcpt", Reply("451 4.7.1 greylisted"), times=1),
        Fault("mail", Reply("552 5.3.4 too big"), times=1),
        Fault("data", Reply("451 4.3.0 not now"), times=1),
        Fault("data", Reply("554 5.7.1 refused"), times=1),
        Fault("dot", Reply("550 5.7.1 refused"), times=1),
        Fault("dot", Reply("451 4.3.0 not now"), times=1),
    ],
    ids=str,
)
@pytest.mark.parametrize("data_after_refusal", [False, True], ids=["554 to DATA", "354 to DATA"])
def test_a_refusal_does_not_harm_the_next(
    fault: Fault, capabilities: tuple[str, ...], *, data_after_refusal: bool
) -> None:
    """After a refusal the next message is sent, on the same connection unless the server wants the refused message."""
    # a server that answers 354 to a refused envelope (RFC 2920 §3.1) gets no dot: it might deliver an empty message

    async def run(server: SmtpServer) -> None:
        connection = await connector(server).connect()
        assert isinstance(await fate(connection), CampaignError)
        if connection.ended:
            connection = await connector(server).connect()
        assert isinstance(await fate(connection, BOB), Receipt)
        connection.end("the test is over")

    cut = data_after_refusal and capabilities is PIPELINED and fault.at in {"mail", "rcpt"}
    script = SmtpScript(faults=(fault,), capabilities=capabilities, data_after_refusal=data_after_refusal)
    with SmtpServer(script) as server:
        asyncio.run(run(server))
        assert accepted(server) == [BOB]
        assert violations(server) == []
        assert len(server.events("open")) == (2 if cut and fault.at == "rcpt" else 1)
        assert [event["rcpt"] for event in server.events("dot")] == [[ADA]] * (fault.at == "dot")


@ways
@pytest.mark.parametrize("at", ["mail", "rcpt", "data", "dot"])
def test_a_line_that_nobody_asked_for_shifts_no_reply(at: str, capabilities: tuple[str, ...]) -> None:
    """An unexpected line ends the connection and is never taken for the reply to another command."""
    outcome, server = one_message(Fault(at, Extra("250 by the way"), times=1), capabilities=capabilities)
    if at == "dot":
        assert is_fate(outcome, 250)
        assert accepted(server) == [ADA]
    else:
        assert isinstance(outcome, (TransientError, UncertainError)), outcome
        assert not accepted(server) or isinstance(outcome, UncertainError)


@pytest.mark.parametrize("dsn", [True, False])
def test_a_bounce_is_asked_to_bring_back_headers_only(*, dsn: bool) -> None:
    """Where the server offers DSN (RFC 3461), a bounce does not bring the message and its sign-in link back."""
    capabilities = (*PIPELINED, "DSN") if dsn else PIPELINED
    _, server = one_message(capabilities=capabilities)
    (event,) = server.events("accept")
    assert ("RET=HDRS" in event["options"].split()) is dsn


@pytest.mark.parametrize("at", ["rcpt", "dot"])
def test_a_token_that_the_server_quotes_in_pieces_is_not_kept(at: str) -> None:
    """No piece of the message's token is kept of a refusal, or of nonsense instead of one."""
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzaXQiOiJzaXRfMSJ9.Xb7-_Qk2LmZ0"
    pieces = " / ".join(token[start : start + 6] for start in range(0, len(token), 6))

    async def run(server: SmtpServer) -> object:
        connection = await connector(server, QUICK).connect()
        outcome = await fate(connection, secret=token)
        connection.end("the test is over")
        return outcome

    for action in (Reply(f"550 5.7.1 refused: {pieces} is on a list"), Raw(f"what is {pieces}?\r\n")):
        with SmtpServer(SmtpScript(faults=(Fault(at, action),))) as server:
            outcome = asyncio.run(run(server))
        assert isinstance(outcome, DeliveryError)
        kept = f"{outcome} {outcome.reply}"
        assert not any(token[start : start + 6] in kept for start in range(len(token) - 5))
        assert "refused: … is on a list" in kept or "not a reply" in kept


def test_the_servers_words_are_kept() -> None:
    """An error names the stage and keeps the server's code, enhanced code and text."""
    outcome, _ = one_message(Fault("rcpt", Reply("550 5.1.1 No such user here")))
    assert isinstance(outcome, PermanentError)
    assert outcome.reply == Receipt(550, "5.1.1", "No such user here")
    assert outcome.reason == "RCPT TO was answered: 550 5.1.1 No such user here"
