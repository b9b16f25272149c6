"""How a mail server is: what it offers, whom it lets in, how slow it is, and its faults."""

from __future__ import annotations

from dataclasses import dataclass

from support.servers.certificates import Certificate  # noqa: TC001 - part of a value that is built at run time
from support.servers.script import Fault, scripted


@scripted
@dataclass(frozen=True)
class SmtpScript:
    """The whole behaviour of one mail server, as a value."""

    faults: tuple[Fault, ...] = ()
    #: For the dice of the faults.
    seed: int = 0
    #: Announced besides SIZE, STARTTLS and AUTH.
    capabilities: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
    #: The limit announced with SIZE and enforced, in octets; None: not announced.
    size: int | None = 10 * 1024 * 1024
    #: EHLO is answered with 502.
    helo_only: bool = False
    #: User and password; None: no AUTH is offered.
    credentials: tuple[str, str] | None = None
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    #: MAIL without a login is refused with 530.
    auth_required: bool = False
    #: STARTTLS is offered (`starttls`), or TLS begins with the connection (`implicit`), or neither.
    tls: str = "none"
    certificate: Certificate = "good"
    #: More connections than this get 421 and are closed.
    connections: int | None = None
    #: Seconds that everything from the client takes to arrive: the round trip.
    latency: float = 0.0
    #: DATA is answered with 354 though no recipient was accepted (RFC 2920 §3.1 expects clients to cope).
    data_after_refusal: bool = False
    #: Seconds without a command, between transactions, after which an `idle` fault may strike.
    idle_after: float = 0.2
    #: The query parameter of the links that holds the token.
    parameter: str = "token"
    #: A folder into which each accepted message is written as it came, named by its hash; None: none is kept.
    keep: str | None = None
    #: A SQLite file and a statement with `:message_id` and `:rcpt`: at each final dot it is noted whether the
    #: statement yields a row, that is, whether the intent was on record before the reply.
    witness: tuple[str, str] | None = None
