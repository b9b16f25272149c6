"""Messages and connections for the tests of `campaign.smtp`: what is sent, to which scripted server, and by whom."""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING

from campaign.errors import CampaignError
from campaign.smtp import Dialer, Envelope, Timeouts
from campaign.smtp.connection import NotBegunError
from campaign.smtpurl import parse_smtp_url

if TYPE_CHECKING:
    from campaign.model import Receipt
    from campaign.smtp.connection import Connection
    from servers.smtp import SmtpServer

SENDER = "hello@acme.example"
ADA, BOB = "ada@example.com", "bob@example.org"
#: Short, for servers that do not answer.
QUICK = Timeouts(command=0.3, body=0.3, dot=0.3)
#: So long that only an answer ends the wait.
PATIENT = Timeouts(command=20.0, body=20.0, dot=20.0)


def mail(to: str = ADA, *, body: bytes = b"Hello\r\n", number: int = 1) -> bytes:
    """Return a message."""
    return b"From: %b\r\nTo: %b\r\nMessage-ID: <%d@acme.example>\r\n\r\n%b" % (
        SENDER.encode(), to.encode(), number, body,
    )  # fmt: skip


def envelope(message: bytes, to: str = ADA, *, eight_bit: bool = False) -> Envelope:
    """Return the envelope of a message."""
    return Envelope(SENDER, to, len(message), eight_bit)


def dialer(server: SmtpServer, timeouts: Timeouts = PATIENT, *, url: str | None = None) -> Dialer:
    """Return what opens connections to a scripted server and trusts its authority."""
    context = None
    if server.script.tls != "none":
        context = ssl.create_default_context(cadata=server.authority.decode())
    return Dialer(parse_smtp_url(url or server.url), timeouts, context)


async def transact(connection: Connection, to: str = ADA, *, message: bytes | None = None) -> Receipt:
    """Carry one message over a connection from `begin` to `final`."""
    message = mail(to) if message is None else message
    connection.begin(envelope(message, to))
    return await finish(connection, to, message=message)


async def finish(
    connection: Connection, to: str = ADA, *, message: bytes | None = None, following: Envelope | None = None
) -> Receipt:
    """Carry a message on whose envelope is under way."""
    message = mail(to) if message is None else message
    await connection.envelope(envelope(message, to))
    await connection.body(message)
    connection.dot(following)
    return await connection.final()


async def fate(connection: Connection, to: str = ADA) -> Receipt | CampaignError | NotBegunError:
    """Return what becomes of one message: the receipt or the error."""
    try:
        return await transact(connection, to)
    except (CampaignError, NotBegunError) as error:
        return error


def accepted(server: SmtpServer) -> list[str]:
    """Return to whom messages were accepted, in order."""
    return [event["rcpt"][0] for event in server.events("accept")]


def violations(server: SmtpServer) -> list[str]:
    """Return what the client did against the protocol."""
    return [f"{event['what']}: {event['line']}" for event in server.events("violation")]


def digest(message: bytes) -> str:
    """Return a message's fingerprint as the server records it."""
    return hashlib.sha256(message).hexdigest()
