"""Mails from an IMAP server on a real socket: read without a trace, in bounded memory, and told why if not."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from campaign.bounces import read_reports
from campaign.bounces.mailboxes import read_mails
from campaign.bounces.reports import MAX_MAIL
from campaign.config.imap_url import parse_imap_url
from campaign.errors import ServiceRefusesError
from support.reports import mail_named
from support.servers.imap import Fault, ImapScript, ImapServer

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("postfix-unknown-user", "gmail-unknown", "reply-of-a-person")
MAILS = [mail_named(name).replace(b"\n", b"\r\n") for name in NAMES]


def read(server: ImapServer, url: str | None = None) -> list[bytes]:
    """Return the mails that are read from a server."""
    return [mail.raw for mail in read_mails(parse_imap_url(url or server.url))]


def refusal(server: ImapServer, url: str | None = None) -> str:
    """Return the error that reading raises."""
    with pytest.raises(ServiceRefusesError) as refused:
        read(server, url)
    assert refused.value.__cause__ is None
    return str(refused.value)


def test_a_mailbox_is_read_without_a_trace(tmp_path: Path) -> None:
    """Every mail is read, its id is that of the mail in an mbox, and no command could change a flag or a mail."""
    with ImapServer(ImapScript(MAILS)) as server:
        found = list(read_reports(parse_imap_url(server.url)))
    assert [report.kind for _, report in found] == ["hard", "hard", "not a report"]
    (tmp_path / "mbox").write_bytes(
        b"".join(b"From x Mon Nov 30 10:00:03 2026\n" + mail_named(name) + b"\n" for name in NAMES)
    )
    assert [key for key, _ in found] == [mail.id for mail in read_mails(str(tmp_path / "mbox"))]
    assert [command.split(" ")[0] for command in server.commands] == [
        "CAPABILITY",
        "AUTHENTICATE",
        "EXAMINE",
        "FETCH",
        *["UID"] * 3,
        "LOGOUT",
    ]
    assert all("BODY.PEEK[]" in command for command in server.commands if command.startswith("UID"))


def test_an_empty_mailbox_has_no_mails() -> None:
    """An empty mailbox yields nothing."""
    with ImapServer(ImapScript([])) as server:
        assert read(server) == []


def test_many_mails_are_asked_for_in_parts() -> None:
    """A mailbox with more mails than one command asks for is read whole."""
    mails = [b"Subject: %d\r\n\r\n" % number for number in range(1201)]
    with ImapServer(ImapScript(mails)) as server:
        assert read(server) == mails
    assert [c for c in server.commands if c.startswith("FETCH")] == [
        f"FETCH {part} (UID RFC822.SIZE)" for part in ("1:500", "501:1000", "1001:1201")
    ]


def test_of_a_huge_mail_only_the_start_is_fetched() -> None:
    """Of a mail of 50 MB the first MB is fetched, and the next mail whole."""
    with ImapServer(ImapScript([MAILS[1] + b"x" * 50_000_000, MAILS[2]])) as server:
        found = read(server)
    assert list(map(len, found)) == [MAX_MAIL, len(MAILS[2])]


def test_tls_is_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The connection is encrypted, and a server whose certificate is not trusted does not get the password."""
    with ImapServer(ImapScript(MAILS, tls=True, certificate="good")) as server:
        assert "has a certificate that is not valid" in refusal(server)
        assert server.commands == []
        authority = tmp_path / "authority.pem"
        authority.write_bytes(server.authority)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert read(server) == MAILS


@pytest.mark.parametrize(
    ("credentials", "sasl"),
    [
        (("ann@acme.example", 'a "quoted\\ pass'), True),
        (("änn", "pässwörd"), True),
        (("ann@acme.example", 'a "quoted" pass'), False),
    ],
)
def test_any_login_can_be_written(credentials: tuple[str, str], sasl: bool) -> None:
    """User and password arrive as they are, with SASL PLAIN and with LOGIN."""
    with ImapServer(ImapScript(MAILS, credentials=credentials, sasl=sasl)) as server:
        assert read(server) == MAILS


def test_a_login_that_cannot_be_sent_is_told() -> None:
    """A server that offers only LOGIN cannot be given a password that is not ASCII; the error says so."""
    with ImapServer(ImapScript(MAILS, credentials=("ann", "hünter2"), sasl=False)) as server:
        sentence = refusal(server)
    assert "offers no AUTH=PLAIN" in sentence
    assert "hünter2" not in sentence


@pytest.mark.parametrize(
    ("wire", "path"),
    [("Bounces", "Bounces"), ("Zur&APw-ck &- weg/2026", "Zur%C3%BCck%20&%20weg/2026"), ("a\\\\b", "a%5Cb")],
)
def test_any_mailbox_can_be_named(wire: str, path: str) -> None:
    """The mailbox's name arrives quoted and in modified UTF-7."""
    with ImapServer(ImapScript(MAILS, mailbox=wire)) as server:
        assert read(server, server.url.replace("INBOX", path)) == MAILS


@pytest.mark.parametrize("sasl", [True, False])
def test_a_refused_login_is_told_without_it(sasl: bool) -> None:
    """A refused login is an error with the server's words, and without the password that the server quotes."""
    script = ImapScript(MAILS, credentials=("ann", "hunter2"), sasl=sasl, fault="refuse login")
    with ImapServer(script) as server:
        sentence = refusal(server)
    assert sentence.startswith(f"the IMAP server 127.0.0.1:{server.port} refuses: [AUTHENTICATIONFAILED] wrong:")
    assert sentence.endswith("Check CAMPAIGN_IMAP_URL")
    assert "hunter2" not in sentence
    assert "AGFubgBodW50ZXIy" not in sentence


def test_a_missing_mailbox_is_told() -> None:
    """A mailbox that does not exist is an error that names it."""
    with ImapServer(ImapScript(MAILS)) as server:
        sentence = refusal(server, server.url.replace("INBOX", "Elsewhere"))
    assert "refuses: the mailbox Elsewhere: [NONEXISTENT] there is no such mailbox" in sentence


@pytest.mark.parametrize("fault", ["close before login", "close at fetch", "bye at fetch", "endless literal"])
def test_a_connection_that_ends_is_told(fault: Fault) -> None:
    """A server that breaks off, or sends more than it was asked for, is an error without a traceback."""
    with ImapServer(ImapScript(MAILS, fault=fault)) as server:
        sentence = refusal(server)
    assert sentence.startswith(f"the IMAP server 127.0.0.1:{server.port} ")


def test_a_mail_deleted_meanwhile_is_left_out() -> None:
    """Mails that are deleted between their sizes and their fetch are left out."""
    with ImapServer(ImapScript(MAILS, fault="delete at fetch")) as server:
        assert read(server) == []


def test_news_amid_the_answers_do_no_harm() -> None:
    """Announcements of new mail and of flags amid the answers are not taken for mails."""
    with ImapServer(ImapScript(MAILS, fault="arrive at fetch")) as server:
        assert read(server) == MAILS


def test_a_server_that_is_not_there_is_told() -> None:
    """A server that cannot be reached is an error with the reason."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ServiceRefusesError, match=rf"127.0.0.1:{port} cannot be reached: Connection refused"):
        list(read_mails(parse_imap_url(f"imap://a:b@127.0.0.1:{port}")))


def test_a_reader_that_stops_early_logs_out() -> None:
    """A caller that takes only the first mail leaves no open connection."""
    with ImapServer(ImapScript(MAILS)) as server:
        reading = read_mails(parse_imap_url(server.url))
        next(reading)
        reading.close()
    assert server.commands[-1] == "LOGOUT"
