"""The scripted mail server follows its script and records each event before it answers."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import sqlite3
import ssl
import struct
import time
from typing import TYPE_CHECKING

import aiosmtplib
import pytest

from support.servers.background import ServerProcess
from support.servers.script import (
    Delay,
    Director,
    Drop,
    Endless,
    Extra,
    Fault,
    Raw,
    Reply,
    Reset,
    Silence,
    Trickle,
    from_json,
    to_json,
)
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

TOKEN = "aaa.bbb-c_c.ddd"


def mail(to: str = "ada@example.com", *, html: str = "", message_id: str = "<1@acme.example>") -> bytes:
    lines = [
        "From: hello@acme.example",
        f"To: {to}",
        f"Message-ID: {message_id}",
        "Content-Type: text/html; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        html.replace("=", "=3D") or "<p>hello</p>",
        ".a line with a dot",
        "",
    ]
    return "\r\n".join(lines).encode()


class Raw25:
    """An SMTP client that sends exactly what a test says."""

    def __init__(self, server: SmtpServer | ServerProcess) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        self.file = self.socket.makefile("rb")

    def say(self, text: str | bytes) -> None:
        """Send exactly these bytes."""
        self.socket.sendall(text.encode() if isinstance(text, str) else text)

    def hear(self) -> str:
        """Return one reply with all its lines."""
        lines = [self.file.readline().decode()]
        while lines[-1][3:4] == "-":
            lines.append(self.file.readline().decode())
        return "".join(lines)

    def ask(self, text: str) -> str:
        """Send a command and return the reply."""
        self.say(text + "\r\n")
        return self.hear()

    def greet(self) -> None:
        """Read the greeting and say EHLO."""
        self.hear()
        self.ask("EHLO client.example")

    def transact(self, to: str = "ada@example.com", body: bytes | None = None) -> list[str]:
        """Return the replies to a whole transaction."""
        replies = [self.ask("MAIL FROM:<hello@acme.example>"), self.ask(f"RCPT TO:<{to}>"), self.ask("DATA")]
        if replies[-1].startswith("354"):
            self.say((body or mail(to)) + b".\r\n")
            replies.append(self.hear())
        return replies

    def close(self) -> None:
        """End the connection."""
        self.file.close()
        self.socket.close()


@pytest.fixture
def clients() -> Iterator[list[Raw25]]:
    opened: list[Raw25] = []
    yield opened
    for client in opened:
        client.close()


def client(clients: list[Raw25], server: SmtpServer | ServerProcess, *, greet: bool = True) -> Raw25:
    clients.append(Raw25(server))
    if greet:
        clients[-1].greet()
    return clients[-1]


def faulty(*faults: Fault) -> SmtpServer:
    return SmtpServer(SmtpScript(faults=faults))


def test_an_acceptance_is_recorded_whole() -> None:
    """The record of a message has envelope, header address, id, the token of its links, size and hash."""
    body = mail(html=f'<a href="https://acme.example/w?x=1&amp;token={TOKEN}">in</a>')
    with SmtpServer() as server, smtplib.SMTP("127.0.0.1", server.port) as session:
        session.sendmail("hello@acme.example", ["ada@example.com"], body)
        accepted = server.events("accept")
    assert len(accepted) == 1
    assert accepted[0]["rcpt"] == accepted[0]["to"] == ["ada@example.com"]
    assert accepted[0]["sender"] == "hello@acme.example"
    assert accepted[0]["message_id"] == "<1@acme.example>"
    assert accepted[0]["tokens"] == [TOKEN]
    assert accepted[0]["size"] == len(body)
    assert not accepted[0]["lost"]
    assert not server.events("violation")


def test_aiosmtplib_can_talk_to_it() -> None:
    """A standard client, aiosmtplib, can send a message."""

    async def send(port: int) -> None:
        session = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False)
        async with session:
            for number in range(3):
                await session.sendmail("hello@acme.example", [f"r{number}@example.com"], mail())

    with SmtpServer() as server:
        asyncio.run(send(server.port))
        assert [event["rcpt"] for event in server.events("accept")] == [[f"r{n}@example.com"] for n in range(3)]
        assert not server.events("violation")


def test_a_pipelined_transaction_is_answered_in_order(clients: list[Raw25]) -> None:
    """MAIL, RCPT and DATA of a message may arrive together (RFC 2920), and messages are answered in order."""
    group = "MAIL FROM:<hello@acme.example>\r\nRCPT TO:<{}>\r\nDATA\r\n"
    with SmtpServer() as server:
        one = client(clients, server)
        for address in ("a@example.com", "b@example.com"):
            one.say(group.format(address))
            assert [one.hear()[:3] for _ in range(3)] == ["250", "250", "354"]
            one.say(mail() + b".\r\n")
            assert one.hear()[:3] == "250"
        assert len(server.events("accept")) == 2
        assert not server.events("violation")


@pytest.mark.parametrize(
    "behind", ["QUIT\r\n", "MAIL FROM:<hello@acme.example>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"]
)
@pytest.mark.parametrize("faults", [(), (Fault("dot", Delay(0.1)),)], ids=["at once", "later"])
def test_bytes_between_the_dot_and_its_reply_are_noted(
    behind: str, faults: tuple[Fault, ...], clients: list[Raw25]
) -> None:
    """Bytes between the final dot and its reply are answered in order, and are recorded as a violation."""
    with faulty(*faults) as server:
        one = client(clients, server)
        one.say("MAIL FROM:<hello@acme.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n")
        assert [one.hear()[:3] for _ in range(3)] == ["250", "250", "354"]
        if faults:
            one.say(mail() + b".\r\n")
            while not server.events("accept"):
                time.sleep(0.002)
            one.say(behind)
        else:
            one.say(mail() + b".\r\n" + behind.encode())
        wanted = ["250", "221"] if behind.startswith("QUIT") else ["250", "250", "250", "354"]
        assert [one.hear()[:3] for _ in wanted] == wanted
        assert {event["what"] for event in server.events("violation")} == {"bytes between the final dot and its reply"}


def test_a_refused_recipient_may_still_meet_354(clients: list[Raw25]) -> None:
    """With `data_after_refusal` a pipelined DATA gets 354 although every RCPT was refused, and the dot gets 554."""
    faults = (Fault("rcpt", Reply("550 5.1.1 No such user"), to="gone@*"),)
    with SmtpServer(SmtpScript(faults=faults, data_after_refusal=True)) as server:
        one = client(clients, server)
        one.say("MAIL FROM:<a@acme.example>\r\nRCPT TO:<gone@example.com>\r\nDATA\r\n")
        assert [one.hear()[:3] for _ in range(3)] == ["250", "550", "354"]
        one.say(".\r\n")
        assert one.hear().startswith("554")
        assert one.transact("here@example.com")[-1].startswith("250")
        assert not server.events("violation")


def test_commands_ahead_of_their_time_are_noted(clients: list[Raw25]) -> None:
    """Pipelining that was not offered, or a body before 354, is recorded as a violation."""
    with SmtpServer(SmtpScript(capabilities=("8BITMIME",))) as server:
        one = client(clients, server)
        one.say("MAIL FROM:<a@acme.example>\r\nRCPT TO:<b@example.com>\r\n")
        one.hear()
        one.hear()
        assert len(server.events("violation")) == 1
    with SmtpServer() as server:
        one = client(clients, server)
        one.say(b"MAIL FROM:<a@acme.example>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n" + mail() + b".\r\n")
        assert [one.hear()[:3] for _ in range(4)] == ["250", "250", "354", "250"]
        assert len(server.events("violation")) == 1


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"Subject: x\r\n\r\na\nb\r\n", "bare"),
        (b"Subject: x\r\n\r\n" + b"x" * 999 + b"\r\n", "998"),
        (b"Subject: x\r\n\r\n\xc3\xa9\r\n", "8BITMIME"),
        (b"Subject: x\r\n\r\n\0\r\n", "NUL"),
    ],
)
def test_a_malformed_message_is_noted(body: bytes, what: str, clients: list[Raw25]) -> None:
    """Bytes that RFC 5321 and 5322 do not allow in a message are recorded as a violation."""
    with SmtpServer() as server:
        client(clients, server).transact(body=body)
        assert [what in event["what"] for event in server.events("violation")] == [True]


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize("reply", ["451 4.3.0 Try again", "550 5.7.1 Policy", "421 4.3.2 Closing"])
def test_any_reply_at_any_command(stage: str, reply: str, clients: list[Raw25]) -> None:
    """A scripted refusal is sent at its stage and recorded, and no message is accepted."""
    with faulty(Fault(stage, Reply(reply, close=reply.startswith("421")))) as server:
        one = client(clients, server)
        replies: list[str] = []
        for text in [
            "MAIL FROM:<a@acme.example>",
            "RCPT TO:<ada@example.com>",
            "DATA",
            mail().decode() + ".",
        ]:
            replies.append(one.ask(text))
            if not replies[-1].startswith(("2", "3")):
                break
        assert replies[-1].strip() == reply
        assert len(replies) == ["mail", "rcpt", "data", "dot"].index(stage) + 1
        refusals = server.events("refuse")
        assert [(event["stage"], event["code"]) for event in refusals] == [(stage, int(reply[:3]))]
        assert not server.events("accept")
        if reply.startswith("421"):
            assert one.file.read() == b""


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("action", [Drop, Reset, Silence])
def test_a_lost_reply_after_the_dot(action: type[Drop | Reset | Silence], done: bool, clients: list[Raw25]) -> None:
    """The client gets no reply, and the record says whether the message was accepted."""
    with faulty(Fault("dot", action(done=done))) as server:
        one = client(clients, server)
        one.socket.settimeout(0.2)
        for text in ["MAIL FROM:<a@acme.example>", "RCPT TO:<ada@example.com>", "DATA"]:
            one.ask(text)
        one.say(mail() + b".\r\n")
        expected = {Drop: "", Reset: "ConnectionResetError", Silence: "TimeoutError"}[action]
        try:
            heard = one.hear()
        except (ConnectionResetError, TimeoutError) as error:
            heard = type(error).__name__
        assert heard == expected
        assert [event["lost"] for event in server.events("accept")] == [True] * done
        assert [event["lost"] for event in server.events("dot")] == [True] * (not done)


def test_a_connection_lost_amid_the_body(clients: list[Raw25]) -> None:
    """A `body` fault occurs after part of the body has arrived and before the dot."""
    with faulty(Fault("body", Drop(), times=1)) as server:
        one = client(clients, server)
        for text in ["MAIL FROM:<a@acme.example>", "RCPT TO:<ada@example.com>", "DATA"]:
            one.ask(text)
        one.say("Subject: half\r\n")
        assert one.file.read() == b""
        assert not server.events("accept", "dot")


def test_garbage_trickle_and_endless_replies(clients: list[Raw25]) -> None:
    """Replies may be invalid, arrive byte by byte or never end, without harm to the server."""
    faults = (
        Fault("dot", Raw("\x00\xff garbage\r\n", done=True), to="garbage@*"),
        Fault("rcpt", Trickle(interval=0.001), to="trickle@*"),
        Fault("dot", Endless(done=True), to="endless@*"),
    )
    with faulty(*faults) as server:
        one = client(clients, server)
        assert one.transact("trickle@example.com")[-1].startswith("250")
        one.transact("ok@example.com")
        one.say("MAIL FROM:<a@acme.example>\r\nRCPT TO:<garbage@example.com>\r\nDATA\r\n")
        for _ in range(3):
            one.hear()
        one.say(mail() + b".\r\n")
        assert one.file.readline() == b"\x00\xff garbage\r\n"
        one.say("MAIL FROM:<a@acme.example>\r\nRCPT TO:<endless@example.com>\r\nDATA\r\n")
        for _ in range(3):
            one.hear()
        one.say(mail() + b".\r\n")
        assert one.file.read(100_000).count(b"250-and so on\r\n") > 6000
        assert len(server.events("accept")) == 4


def test_lines_that_nobody_asked_for(clients: list[Raw25]) -> None:
    """An extra line may follow a reply in the same packet, or arrive while the connection is idle."""
    with faulty(Fault("rcpt", Extra("250 surprise"))) as server:
        one = client(clients, server)
        one.ask("MAIL FROM:<a@acme.example>")
        assert one.ask("RCPT TO:<ada@example.com>").startswith("250 2.1.5")
        assert one.hear() == "250 surprise\r\n"
    script = SmtpScript(faults=(Fault("idle", Reply("421 4.4.2 Idle", close=True)),), idle_after=0.02)
    with SmtpServer(script) as server:
        one = client(clients, server)
        assert one.hear() == "421 4.4.2 Idle\r\n"
        assert one.file.read() == b""


def test_greylisting_by_count_and_by_time(clients: list[Raw25]) -> None:
    """Each recipient is refused n times, or until a number of seconds after the first attempt."""
    faults = (
        Fault("rcpt", Reply("451 4.7.1 Greylisted"), to="count@*", times=2, per="recipient"),
        Fault("rcpt", Reply("451 4.7.1 Greylisted"), to="time@*", lasting=0.1, per="recipient"),
    )
    with faulty(*faults) as server:
        one = client(clients, server)
        one.ask("MAIL FROM:<a@acme.example>")
        codes = [one.ask("RCPT TO:<count@example.com>")[:3] for _ in range(3)]
        assert codes == ["451", "451", "250"]
        begun = time.monotonic()
        while one.ask("RCPT TO:<time@example.com>").startswith("451"):
            time.sleep(0.01)
        assert time.monotonic() - begun >= 0.09


def test_throttling_strikes_above_the_rate_only(clients: list[Raw25]) -> None:
    """Within a window the allowed number of messages is accepted and more are refused, until the window has passed."""
    with faulty(Fault("rcpt", Reply("454 4.7.0 Throttled"), over=(3, 0.2))) as server:
        one = client(clients, server)
        one.ask("MAIL FROM:<a@acme.example>")
        codes = [one.ask(f"RCPT TO:<r{n}@example.com>")[:3] for n in range(5)]
        assert codes == ["250", "250", "250", "454", "454"]
        time.sleep(0.25)
        assert one.ask("RCPT TO:<later@example.com>")[:3] == "250"


def test_every_nth_and_skip_and_dice() -> None:
    """`every` and `skip` count occurrences, and random faults depend only on the seed and the recipient."""
    every = Director((Fault("mail", Drop(), every=3),))
    assert [every.choose("mail") is not None for _ in range(6)] == [False, False, True] * 2
    later = Director((Fault("mail", Drop(), skip=2, times=1),))
    assert [later.choose("mail") is not None for _ in range(4)] == [False, False, True, False]
    rare = Fault("rcpt", Drop(), probability=0.1)
    people = [f"r{n}@example.com" for n in range(3000)]
    struck = {one for one in people if Director((rare,), seed=7).choose("rcpt", to=one)}
    dice = Director((rare,), seed=7)
    assert struck == {one for one in reversed(people) if dice.choose("rcpt", to=one)}
    assert 200 < len(struck) < 400
    assert struck != {one for one in people if Director((rare,), seed=8).choose("rcpt", to=one)}


def test_too_many_connections(clients: list[Raw25]) -> None:
    """Above the limit a connection gets 421 and is closed, and the number of open connections is recorded."""
    with SmtpServer(SmtpScript(connections=2)) as server:
        client(clients, server)
        client(clients, server)
        third = client(clients, server, greet=False)
        assert third.hear().startswith("421")
        assert third.file.read() == b""
        assert max(event["open"] for event in server.events("open")) == 3


def test_capabilities_are_what_the_script_says(clients: list[Raw25]) -> None:
    """EHLO lists what the script offers, or is refused (`helo_only`); SIZE is enforced at MAIL and at the dot."""
    with SmtpServer(SmtpScript(capabilities=(), size=200)) as server:
        one = client(clients, server, greet=False)
        one.hear()
        assert one.ask("EHLO c.example") == "250-mail.example\r\n250 SIZE 200\r\n"
        assert one.ask("MAIL FROM:<a@acme.example> SIZE=201").startswith("552")
        assert one.ask("MAIL FROM:<a@acme.example> BODY=8BITMIME").startswith("555")
        assert one.transact(body=b"x" * 300 + b"\r\n")[-1].startswith("552")
        assert not server.events("accept")
    with SmtpServer(SmtpScript(helo_only=True)) as server:
        one = client(clients, server, greet=False)
        one.hear()
        assert one.ask("EHLO c.example").startswith("502")
        assert one.ask("HELO c.example").startswith("250")
        assert one.transact()[-1].startswith("250")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_logins_are_checked(mechanism: str) -> None:
    """AUTH PLAIN and LOGIN accept the right password; a wrong one gets 535, and a missing login gets 530."""
    script = SmtpScript(credentials=("acme", "pass word"), mechanisms=(mechanism,), auth_required=True)
    with SmtpServer(script) as server:
        with smtplib.SMTP("127.0.0.1", server.port) as session:
            with pytest.raises(smtplib.SMTPSenderRefused) as refused:
                session.sendmail("a@acme.example", ["ada@example.com"], mail())
            assert refused.value.smtp_code == 530
            with pytest.raises(smtplib.SMTPAuthenticationError) as wrong:
                session.login("acme", "guess")
            assert wrong.value.smtp_code == 535
        with smtplib.SMTP("127.0.0.1", server.port) as session:
            session.login("acme", "pass word")
            session.sendmail("a@acme.example", ["ada@example.com"], mail())
        assert [event["ok"] for event in server.events("auth")][-1]
        assert "pass word" not in str(server.events())


def test_credentials_can_become_invalid(clients: list[Raw25]) -> None:
    """With `skip=n` the credentials become invalid after n logins."""
    faults = (Fault("auth", Reply("535 5.7.8 No longer"), skip=1),)
    with SmtpServer(SmtpScript(credentials=("u", "p"), faults=faults)) as server:
        line = "AUTH PLAIN AHUAcA=="
        assert client(clients, server).ask(line).startswith("235")
        assert client(clients, server).ask(line).startswith("535")


def trusting(server: SmtpServer) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=server.authority.decode())


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_good_certificates(tls: str) -> None:
    """A client that trusts the authority connects with STARTTLS and with implicit TLS."""
    with SmtpServer(SmtpScript(tls=tls)) as server:
        context = trusting(server)
        opened: AbstractContextManager[smtplib.SMTP] = (
            smtplib.SMTP_SSL("127.0.0.1", server.port, context=context)
            if tls == "implicit"
            else smtplib.SMTP("127.0.0.1", server.port)
        )
        with opened as session:
            if tls == "starttls":
                session.starttls(context=context)
            session.sendmail("a@acme.example", ["ada@example.com"], mail())
        assert len(server.events("accept")) == 1
        assert [event["ok"] for event in server.events("tls")] == [True]


@pytest.mark.parametrize("certificate", ["self-signed", "expired", "wrong-host", "untrusted"])
def test_bad_certificates(certificate: str) -> None:
    """A verifying client refuses each kind of wrong certificate that a script can choose."""
    script = from_json(to_json(SmtpScript(tls="starttls")).replace('"good"', f'"{certificate}"'))
    expected = {"expired": "expired", "wrong-host": "not valid for"}.get(certificate, "self|issuer")
    with SmtpServer(script) as server:
        session = smtplib.SMTP("127.0.0.1", server.port)
        with pytest.raises(ssl.SSLCertVerificationError, match=expected):
            session.starttls(context=trusting(server))
        session.close()


def test_starttls_can_be_stripped_refused_and_injected(clients: list[Raw25]) -> None:
    """STARTTLS may be missing from EHLO, be refused, or be followed by a line in the clear."""
    with SmtpServer(SmtpScript(tls="none")) as server:
        one = client(clients, server, greet=False)
        one.hear()
        assert "STARTTLS" not in one.ask("EHLO c.example")
    for refusal in ("454 4.7.0 TLS not available", "502 5.5.1 No"):
        with SmtpServer(SmtpScript(tls="starttls", faults=(Fault("starttls", Reply(refusal)),))) as server:
            assert client(clients, server).ask("STARTTLS").strip() == refusal
    with SmtpServer(SmtpScript(tls="starttls", faults=(Fault("starttls", Extra("250 evil")),))) as server:
        one = client(clients, server)
        one.say("STARTTLS\r\n")
        assert one.socket.recv(1000) == b"220 2.0.0 Ready to start TLS\r\n250 evil\r\n"


def test_connect_faults(clients: list[Raw25]) -> None:
    """A connection may be refused with a reply, dropped, reset, or left without a greeting."""
    faults = tuple(
        Fault("connect", action, times=1)
        for action in (Reply("554 5.3.2 No", close=True), Drop(), Reset(), Silence(0.05), Delay(0.01))
    )
    with faulty(*faults) as server:
        assert client(clients, server, greet=False).hear().startswith("554")
        assert client(clients, server, greet=False).hear() == ""
        with pytest.raises(ConnectionResetError):
            client(clients, server, greet=False).hear()
        assert client(clients, server, greet=False).hear() == ""
        assert client(clients, server, greet=False).hear().startswith("220")


def test_latency_is_per_round_trip(clients: list[Raw25]) -> None:
    """A pipelined group of commands is delayed once, not once per command."""
    with SmtpServer(SmtpScript(latency=0.4)) as server:
        one = client(clients, server)
        begun = time.monotonic()
        one.say("MAIL FROM:<a@acme.example>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
        for _ in range(3):
            one.hear()
        assert 0.4 <= time.monotonic() - begun < 1.2


def test_a_client_that_resets_is_forgotten(clients: list[Raw25]) -> None:
    """A client that resets the connection does not harm the server, and is counted as closed."""
    with SmtpServer() as server:
        one = client(clients, server)
        one.ask("MAIL FROM:<a@acme.example>")
        one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()
        while not server.events("close"):
            time.sleep(0.005)
        assert server.events("close")[-1]["open"] == 0
        assert client(clients, server).transact()[-1].startswith("250")


def test_as_a_process_it_keeps_its_record(tmp_path: Path, clients: list[Raw25]) -> None:
    """Run as a process it accepts the same script, and its record is complete when the reply arrives."""
    script = SmtpScript(faults=(Fault("rcpt", Reply("550 5.1.1 No such user"), to="*+no@*"),), seed=3)
    assert from_json(to_json(script)) == script
    with ServerProcess("smtp", script, tmp_path, sync=True) as server:
        one = client(clients, server)
        assert one.transact("ada@example.com")[-1].startswith("250")
        assert len(server.events("accept")) == 1
        assert one.transact("ada+no@example.com")[1].startswith("550")
        assert len(server.events("refuse")) == 2


def test_the_witness_looks_into_a_log(tmp_path: Path, clients: list[Raw25]) -> None:
    """At the final dot the server records whether an SQL statement finds the Message-ID in a SQLite file."""
    path = tmp_path / "log.db"
    log = sqlite3.connect(path)
    log.execute("CREATE TABLE intents (message_id TEXT)")
    log.execute("INSERT INTO intents VALUES ('<1@acme.example>')")
    log.commit()
    log.close()
    statement = "SELECT 1 FROM intents WHERE message_id = :message_id"
    with SmtpServer(SmtpScript(witness=(str(path), statement))) as server:
        one = client(clients, server)
        one.transact(body=mail())
        one.transact(body=mail(message_id="<2@acme.example>"))
        assert [event["witnessed"] for event in server.events("accept")] == [True, False]
