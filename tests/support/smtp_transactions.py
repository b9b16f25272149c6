"""Send messages to a scripted server, over a connection or a pool, and return the outcomes: `transact`, `Post`."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import Counter
from typing import TYPE_CHECKING

from campaign.clock import SystemClock
from campaign.config.smtp_url import parse_smtp_url
from campaign.delivery.concurrency import LatencyEstimate
from campaign.errors import CampaignError, TransientError
from campaign.model import Receipt
from campaign.smtp import Connector, Envelope, Pool, Timeouts
from campaign.smtp.reply_codes import ConnectionSpentError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from campaign.clock import Clock
    from campaign.smtp.access_token import AccessToken
    from campaign.smtp.connection import Connection
    from support.servers.smtp import SmtpServer

SENDER = "hello@acme.example"
#: The key of accepted messages in the counts of `fates`.
RECEIPT = "receipt"
ADA, BOB = "ada@example.com", "bob@example.org"
#: Short time-outs, for servers that do not answer.
QUICK = Timeouts(command=0.3, body=0.3, dot=0.3)
#: Long time-outs: only a reply ends the wait.
PATIENT = Timeouts(command=20.0, body=20.0, dot=20.0)


def mail(to: str = ADA, *, body: bytes = b"Hello\r\n", number: int = 1) -> bytes:
    """Return a message."""
    return b"From: %b\r\nTo: %b\r\nMessage-ID: <%d@acme.example>\r\n\r\n%b" % (
        SENDER.encode(), to.encode(), number, body,
    )  # fmt: skip


def envelope(message: bytes, to: str = ADA, *, eight_bit: bool = False) -> Envelope:
    """Return the envelope of a message."""
    return Envelope(SENDER, to, len(message), eight_bit)


def connector(
    server: SmtpServer,
    timeouts: Timeouts = PATIENT,
    *,
    url: str | None = None,
    name: str | None = None,
    token: AccessToken | None = None,
) -> Connector:
    """Return a connector to a scripted server that trusts the server's authority."""
    context = None
    if server.script.tls != "none":
        context = ssl.create_default_context(cadata=server.authority.decode())
    return Connector(parse_smtp_url(url or server.url), timeouts, context, name=name, token=token)


async def transact(connection: Connection, to: str = ADA, *, message: bytes | None = None, secret: str = "") -> Receipt:
    """Send one message over a connection, from its envelope to the reply to its final dot."""
    message = mail(to) if message is None else message
    await connection.envelope(envelope(message, to)._replace(secret=secret))
    await connection.body(message)
    return await connection.dot()


async def fate(
    connection: Connection, to: str = ADA, *, secret: str = ""
) -> Receipt | CampaignError | ConnectionSpentError:
    """Return the outcome of one message: the receipt or the error."""
    try:
        return await transact(connection, to, secret=secret)
    except (CampaignError, ConnectionSpentError) as error:
        return error


def accepted(server: SmtpServer) -> list[str]:
    """Return the recipients of the accepted messages, in order."""
    return [event["rcpt"][0] for event in server.events("accept")]


def violations(server: SmtpServer) -> list[str]:
    """Return the client's protocol violations."""
    return [f"{event['what']}: {event['line']}" for event in server.events("violation")]


def digest(message: bytes) -> str:
    """Return a message's hash in the form of the server's record."""
    return hashlib.sha256(message).hexdigest()


async def no_intent() -> None:
    """Do nothing: a callback that writes no intent."""


class Post:
    """A pool of connections to a scripted server; records the message durations that the pool reports."""

    def __init__(
        self,
        server: SmtpServer,
        *,
        limit: int = 4,
        url: str | None = None,
        clock: Clock | None = None,
        token: AccessToken | None = None,
    ) -> None:
        self.transaction = LatencyEstimate()
        #: The reasons for which the server wanted fewer messages a second.
        self.too_fast: list[str] = []
        self.pool = Pool(
            connector(server, url=url, token=token),
            limit=limit,
            clock=clock or SystemClock(),
            on_accepted=self.transaction.note,
            on_too_fast=self.too_fast.append,
        )

    async def send(
        self,
        number: int,
        before_dot: Callable[[], Awaitable[None]] = no_intent,
        *,
        body: bytes = b"Hello\r\n",
    ) -> Receipt | CampaignError:
        """Send a message and return its outcome."""
        to = f"u{number}@d{number % 3}.example"
        message = mail(to, body=body, number=number)
        try:
            return await self.pool.send(envelope(message, to), message, before_dot)
        except CampaignError as error:
            return error

    async def send_all(self, number: int) -> list[Receipt | CampaignError]:
        """Send `number` messages at the same time and return their outcomes."""
        return list(await asyncio.gather(*[self.send(each) for each in range(number)]))


def fates(outcomes: list[Receipt | CampaignError]) -> Counter[object]:
    """Count outcomes: receipts, temporary errors by scope, other errors by class."""
    return Counter(
        RECEIPT if isinstance(one, Receipt) else one.scope if isinstance(one, TransientError) else type(one)
        for one in outcomes
    )
