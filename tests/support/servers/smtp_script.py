"""Describe the behaviour of a mail server: extensions, login, TLS, latency and faults: `SmtpScript`."""

from __future__ import annotations

from dataclasses import dataclass

from support.servers.certificates import Certificate  # noqa: TC001 - part of a value that is built at run time
from support.servers.script import Fault, scripted


@scripted
@dataclass(frozen=True)
class SmtpScript:
    """The whole behaviour of one mail server, as a value."""

    faults: tuple[Fault, ...] = ()
    #: The seed of the faults' random numbers.
    seed: int = 0
    #: The extensions announced in addition to SIZE, STARTTLS and AUTH.
    capabilities: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
    #: The message size limit in bytes, announced with SIZE and enforced; None: not announced.
    size: int | None = 10 * 1024 * 1024
    #: The server replies 502 to EHLO.
    helo_only: bool = False
    #: User and password, or user and access token; None: AUTH is not offered.
    credentials: tuple[str, str] | None = None
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    #: The server replies 530 to MAIL without a login.
    auth_required: bool = False
    #: `starttls`: STARTTLS is offered; `implicit`: TLS from the start of the connection; `none`: no TLS.
    tls: str = "none"
    certificate: Certificate = "good"
    #: The maximum number of connections; further ones get 421 and are closed.
    connections: int | None = None
    #: The maximum number of connections that may send messages; with more, each final dot gets 432.
    submissions: int | None = None
    #: Seconds for which a closed connection still counts as one that may send messages.
    closing: float = 0.0
    #: Seconds that everything from the client takes to arrive (round-trip time).
    latency: float = 0.0
    #: The server replies 354 to DATA even if it accepted no recipient (RFC 2920 §3.1 expects clients to cope).
    data_after_refusal: bool = False
    #: Seconds without a command, between transactions, after which an `idle` fault may apply.
    idle_after: float = 0.2
    #: Seconds from the 354 to the final dot after which the server hangs up with 421; None: it waits.
    data_timeout: float | None = None
    #: The query parameter with the token in the links.
    parameter: str = "token"
    #: A folder for each accepted message, unchanged, with its hash as file name; None: no message is kept.
    keep: str | None = None
    #: A send log, a file or a URL, and a statement with `:message_id` and `:rcpt`. At each final dot the server records
    #: whether the statement yields a row, that is, whether the intent was in the log before the reply.
    witness: tuple[str, str] | None = None
