"""Connecting: from a server's address to a logged-in connection with trusted TLS, or an error with the reason."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from campaign.config.smtp_url import parse_smtp_url
from campaign.errors import CampaignError, Scope, ServiceRefusesError, TransientError
from campaign.smtp import Connector
from campaign.smtp.terms import Features, Timeouts
from support.servers.script import Delay, Drop, Endless, Extra, Fault, Raw, Reply, Reset, Silence, Trickle
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript
from support.smtp_transactions import ADA, PATIENT, accepted, connector, transact, violations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers.certificates import Certificate
    from support.servers.script import Action

LOGIN = ("hello@acme.example", "p4ss w0rd/%ü")


def dialled(server: SmtpServer, timeouts: Timeouts = PATIENT) -> Features | CampaignError:
    """Return what the server offered after a message was sent, or why no connection was made."""

    async def run() -> Features:
        connection = await connector(server, timeouts).connect()
        await transact(connection)
        connection.end("the test is over")
        return connection.features

    try:
        return asyncio.run(run())
    except CampaignError as error:
        return error


def said(server: SmtpServer, *names: str) -> int:
    """Return how many events with these names there were."""
    return len(server.events(*names))


@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
@pytest.mark.parametrize("mechanisms", [("PLAIN",), ("LOGIN",), ("PLAIN", "LOGIN"), ("CRAM-MD5", "LOGIN")], ids=str)
def test_a_login_over_every_kind_of_tls(tls: str, mechanisms: tuple[str, ...]) -> None:
    """User and password are decoded from the URL and sent over TLS, unless the URL switches TLS off."""
    script = SmtpScript(tls=tls, credentials=LOGIN, mechanisms=mechanisms, auth_required=True)
    with SmtpServer(script) as server:
        assert isinstance(dialled(server), Features)
        (login,) = server.events("auth")
        assert (login["ok"], login["tls"]) == (True, tls != "none")
        assert accepted(server) == [ADA]
        assert violations(server) == []


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("certificate", ["self-signed", "expired", "wrong-host", "untrusted"])
def test_a_certificate_that_cannot_be_trusted(tls: str, certificate: Certificate) -> None:
    """With an untrusted certificate the run stops, and neither password nor sender is sent."""
    script = SmtpScript(tls=tls, certificate=certificate, credentials=LOGIN)
    with SmtpServer(script) as server:
        outcome = dialled(server)
        assert isinstance(outcome, ServiceRefusesError)
        assert "its TLS is not trusted" in str(outcome)
        assert f"127.0.0.1:{server.port}" in str(outcome)
        assert said(server, "auth", "data", "accept") == 0


def test_the_systems_certificates_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its own TLS context the connector trusts the system's certificates, or those in `SSL_CERT_FILE`."""

    async def run(server: SmtpServer) -> None:
        connection = await Connector(parse_smtp_url(server.url), PATIENT).connect()
        connection.end("the test is over")

    with SmtpServer(SmtpScript(tls="implicit")) as server:
        with pytest.raises(ServiceRefusesError, match="its TLS is not trusted"):
            asyncio.run(run(server))
        (tmp_path / "authority.pem").write_bytes(server.authority)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        asyncio.run(run(server))


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ((Fault("starttls", Reply("454 4.7.0 TLS not available")),), "the server refused STARTTLS: 454"),
        ((Fault("starttls", Reply("502 5.5.1 not implemented")),), "the server refused STARTTLS: 502"),
        ((Fault("starttls", Extra("250 injected by somebody")),), "data came after the reply to STARTTLS"),
        ((Fault("starttls", Raw("220 go\r\n250-mail.example\r\n250 AUTH PLAIN\r\n")),), ""),
        (
            (Fault("ehlo", Reply("250-mail.example\n250-AUTH PLAIN LOGIN\n250 SIZE 1000")),),
            "the server does not offer STARTTLS",
        ),
        ((Fault("ehlo", Reply("502 5.5.1 what?")),), "the server does not offer STARTTLS"),
    ],
    ids=["454", "502", "injected line", "injected EHLO", "stripped", "HELO only"],
)
def test_starttls_is_required(faults: tuple[Fault, ...], reason: str) -> None:
    """If STARTTLS is missing or misbehaves, neither login nor sender is sent in clear."""
    with SmtpServer(SmtpScript(faults=faults, tls="starttls", credentials=LOGIN)) as server:
        outcome = dialled(server)
        assert isinstance(outcome, ServiceRefusesError), outcome
        assert reason in str(outcome)
        assert said(server, "auth", "data", "accept") == 0
        assert said(server, "open") == 1


def test_starttls_where_the_server_has_none() -> None:
    """A URL that asks for STARTTLS does not accept a server without TLS."""
    with SmtpServer(SmtpScript(credentials=LOGIN)) as server:
        url = server.url.removesuffix("?tls=none")
        with pytest.raises(ServiceRefusesError, match="the server does not offer STARTTLS"):
            asyncio.run(connector(server, url=url).connect())
        assert said(server, "auth") == 0


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (SmtpScript(credentials=("hello@acme.example", "another one")), "refuses the login: 535 5.7.8"),
        (SmtpScript(credentials=LOGIN, faults=(Fault("auth", Reply("530 5.7.0 no")),)), "refuses the login: 530"),
        (SmtpScript(credentials=LOGIN, faults=(Fault("auth", Reply("534 5.7.9 weak")),)), "refuses the login: 534"),
        (
            SmtpScript(credentials=LOGIN, mechanisms=("CRAM-MD5",)),
            "the server offers neither AUTH PLAIN nor AUTH LOGIN",
        ),
        (SmtpScript(), "the server offers neither AUTH PLAIN nor AUTH LOGIN"),
        (
            SmtpScript(faults=(Fault("connect", Reply("554 5.3.2 go away", close=True)),)),
            "refuses the connection: 554 5.3.2",
        ),
    ],
    ids=["wrong password", "530", "534", "no mechanism", "no AUTH", "554 greeting"],
)
def test_a_refusal_is_final(script: SmtpScript, reason: str) -> None:
    """If the server refuses login or greeting for good, the run stops with the server's words, without the password."""
    with SmtpServer(script) as server:
        url = f"smtp://hello%40acme.example:p4ss%20w0rd%2F%25%C3%BC@127.0.0.1:{server.port}?tls=none"
        with pytest.raises(ServiceRefusesError, match=reason) as caught:
            asyncio.run(connector(server, url=url).connect())
        assert "w0rd" not in str(caught.value)
        assert "CAMPAIGN_SMTP_URL" in str(caught.value) or "cannot be used" in str(caught.value)
        assert said(server, "open") == 1


@pytest.mark.parametrize(
    ("at", "action"),
    [
        ("connect", Reply("421 4.3.2 not now", close=True)),
        ("connect", Reply("450 4.3.2 not now")),
        ("connect", Drop()),
        ("connect", Reset()),
        ("connect", Silence()),
        ("connect", Endless("220-hello")),
        ("connect", Raw("HTTP/1.1 400 Bad Request\r\n\r\n", close=True)),
        ("connect", Trickle(interval=0.05)),
        ("ehlo", Reply("421 4.3.2 not now", close=True)),
        ("ehlo", Reply("451 4.3.0 not now")),
        ("ehlo", Drop()),
        ("ehlo", Silence()),
        ("ehlo", Endless()),
        ("ehlo", Endless("250-")),
        ("starttls", Silence()),
        ("starttls", Drop()),
        ("auth", Reply("454 4.7.0 temporary authentication failure")),
        ("auth", Reply("421 4.7.0 too many logins", close=True)),
        ("auth", Drop()),
        ("auth", Reset()),
        ("auth", Silence()),
        ("auth", Raw("235 welcome\r\n", close=True)),
    ],
    ids=str,
)
def test_a_server_that_is_not_ready(at: str, action: Action) -> None:
    """A fault that may pass is a fault of the server and not of the message, and ends within the deadline."""
    tls = "starttls" if at == "starttls" else "none"
    with SmtpServer(SmtpScript(faults=(Fault(at, action),), credentials=LOGIN, tls=tls)) as server:
        outcome = dialled(server, replace(PATIENT, login=0.3))
        assert isinstance(outcome, TransientError), outcome
        assert outcome.scope is Scope.SERVER
        assert said(server, "data", "accept") == 0


def test_one_deadline_covers_all_steps() -> None:
    """Steps that are each in time, but not together, end at the deadline, and the error says which step was on."""
    faults = tuple(Fault(at, Delay(0.25)) for at in ("connect", "ehlo", "auth"))
    with SmtpServer(SmtpScript(faults=faults, credentials=LOGIN)) as server:
        outcome = dialled(server, replace(PATIENT, login=0.6))
        assert isinstance(outcome, TransientError)
        assert "is too slow: the login was not over after 0.6 s" in str(outcome)


def test_a_greeting_that_drips_ends_in_time() -> None:
    """A greeting of which a line comes now and then, and never the last one, ends at the deadline with a sentence."""
    drip = Trickle("220-x\r\n" * 1000, interval=0.002)
    with SmtpServer(SmtpScript(faults=(Fault("connect", drip),))) as server:
        outcome = dialled(server, replace(PATIENT, login=0.3))
        assert isinstance(outcome, TransientError)
        assert "is too slow: the greeting was not over after 0.3 s" in str(outcome)


def test_a_greeting_without_an_end_is_cut() -> None:
    """A server that sends more than any greeting or reply has is left at once, whatever the deadline is."""
    with SmtpServer(SmtpScript(faults=(Fault("connect", Endless("220-hello")),))) as server:
        outcome = dialled(server)
        assert isinstance(outcome, TransientError)
        assert "does not answer as one at the greeting: Response too long; check host and port" in str(outcome)


@pytest.mark.parametrize("tls", ["none", "starttls"])
@pytest.mark.parametrize("said", ["550 5.7.1 Invalid EHLO", "501 5.5.4 Invalid domain name", "504 5.5.2 <x>: rejected"])
def test_a_refused_name_is_told(said: str, tls: str) -> None:
    """If the server refuses the name at EHLO, the run stops and says what to set; HELO would meet the same refusal."""
    with SmtpServer(SmtpScript(faults=(Fault("ehlo", Reply(said)),), tls=tls)) as server:
        with pytest.raises(ServiceRefusesError, match=r"refuses EHLO box\.example: 5.*; set CAMPAIGN_EHLO to"):
            asyncio.run(connector(server, name="box.example").connect())
        assert [event["name"] for event in server.events("ehlo")] == ["box.example"]
        assert said[:3] in {str(event["code"]) for event in server.events("refuse")}


def test_a_name_that_is_put_off_is_told() -> None:
    """A relay that puts the name off, as Gmail's does, is not ready; the reason names the setting."""
    fault = Fault("ehlo", Reply("421 4.7.0 Try again later, closing connection. (EHLO)", close=True))
    with SmtpServer(SmtpScript(faults=(fault,))) as server:
        outcome = dialled(server)
        assert isinstance(outcome, TransientError)
        assert "EHLO [127.0.0.1] was answered: 421 4.7.0" in str(outcome)
        assert "set CAMPAIGN_EHLO" in str(outcome)


@pytest.mark.parametrize("refusal", ["504 5.7.4 Unrecognized authentication type", "504 5.5.4 Not now"])
def test_another_mechanism_is_tried(refusal: str) -> None:
    """If the server offers PLAIN and refuses it with 504, LOGIN is tried on the same connection."""
    script = SmtpScript(credentials=LOGIN, faults=(Fault("auth", Reply(refusal), times=1),))
    with SmtpServer(script) as server:
        assert isinstance(dialled(server), Features)
        assert [(event["mechanism"], event["ok"]) for event in server.events("auth")] == [
            ("PLAIN", False),
            ("LOGIN", True),
        ]
        assert said(server, "open") == 1


def test_a_password_that_the_server_quotes_is_not_told() -> None:
    """A server that quotes the command or the password in its refusal gets neither into the error."""
    quoted = base64.b64encode(b"\0hello@acme.example\0p4ss w0rd/%\xc3\xbc").decode()
    for reply in (f"535 5.7.8 bad AUTH PLAIN {quoted}", "535 5.7.8 p4ss w0rd/%ü is wrong"):
        script = SmtpScript(credentials=LOGIN, faults=(Fault("auth", Reply(reply)),))
        with SmtpServer(script) as server:
            outcome = dialled(server)
            assert isinstance(outcome, ServiceRefusesError)
            assert "535 5.7.8" in str(outcome)
            assert "w0rd" not in str(outcome)
            assert quoted[-10:] not in str(outcome)


@contextmanager
def gone_after(*parts: bytes) -> Iterator[int]:
    """Serve one connection: send each part, read after each, then close."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(5)
                for part in parts:
                    connection.sendall(part)
                    connection.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listening.getsockname()[1])
        thread.join()


@pytest.mark.parametrize(
    ("scheme", "parts"),
    [
        ("smtps", []),
        ("smtps", [b""]),
        ("smtp", [b"220 hello\r\n", b"250-me\r\n250 STARTTLS\r\n"]),
        ("smtp", [b"220 hello\r\n", b"250-me\r\n250 STARTTLS\r\n", b"220 go\r\n"]),
        ("smtp", [b"220 hello\r\n", b"250-me\r\n250 STARTTLS\r\n", b"421 4.3.2 closing\r\n"]),
    ],
    ids=["at once", "amid an implicit handshake", "at STARTTLS", "amid the handshake", "with 421 to STARTTLS"],
)
def test_a_server_that_leaves_on_the_way_to_tls(scheme: str, parts: list[bytes]) -> None:
    """A connection that is lost before TLS is set up means that the server is not ready, not that it is untrusted."""
    with gone_after(*parts) as port, pytest.raises(TransientError) as caught:
        asyncio.run(Connector(parse_smtp_url(f"{scheme}://127.0.0.1:{port}"), PATIENT).connect())
    assert caught.value.scope is Scope.SERVER
