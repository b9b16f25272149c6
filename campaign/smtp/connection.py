"""One logged-in SMTP connection and the steps of one transaction on it. How it came to be is told in `dialing`."""

from __future__ import annotations

import asyncio
from itertools import zip_longest
from typing import TYPE_CHECKING, Never, cast

from campaign.errors import Scope, TransientError, UncertainError
from campaign.smtp.pending_replies import PendingReplies
from campaign.smtp.replies import MalformedReplyError, Reply, ReplyReader
from campaign.smtp.reply_codes import Command, NotBegunError, classify_reply
from campaign.smtp.socket_probe import SocketProbe
from campaign.smtp.terms import opening_of, stuffed
from campaign.smtp.timer import Timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.model import Receipt
    from campaign.smtp.terms import Envelope, Features, Timeouts

_SERVICE_CLOSING = 421
_START_INPUT = 354
_OPENING = (Command.MAIL, Command.RCPT, Command.DATA)


class Connection(asyncio.Protocol):
    """A connection: one transaction after the other, each `envelope` → `body` → `dot`.

    Nothing is sent for good before `dot`, and nothing is written between the final dot and its reply: servers that are
    hardened against SMTP smuggling refuse the message or what follows it. A reply to no command, or a line that is no
    reply, ends the connection.
    """

    def __init__(self, features: Features, timeouts: Timeouts) -> None:
        self.features = features
        #: Called once when the connection has ended.
        self.on_end: Callable[[], None] | None = None
        #: Whether no transaction is under way, so that MAIL may be said.
        self.is_ready = True
        # a message went over it before, so that its end at MAIL says nothing about the server
        self._used = False
        self._timeouts = timeouts
        self._transport: asyncio.Transport
        self._reader = ReplyReader()
        self._pending: PendingReplies | None = None
        self._ended: str | None = None
        self._last_words: Reply | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._deadline = Timer(lambda: self.end("no answer in time"))

    # -- one transaction -----------------------------------------------------------------------------------------

    async def envelope(self, envelope: Envelope) -> None:
        """Say who sends to whom, in one write where PIPELINING is offered (RFC 2920); return at 354.

        Raises:
            NotBegunError: the connection had served before, and ended before MAIL was answered.
            TransientError, PermanentError, ServiceRefusesError: the server's answer; the connection is ready again,
                or ended.
        """
        self.is_ready = False
        replies = await self._open(envelope)
        if self._used and (not replies or replies[0].code == _SERVICE_CLOSING):
            raise NotBegunError(self._ended)
        for stage, reply in zip_longest(_OPENING, replies):
            if reply is None:
                scope = Scope.SERVER if stage is Command.MAIL else Scope.RECIPIENT
                raise self._lost(f"before {stage} was answered", scope=scope)
            if not _goes_on(stage, reply):
                # RFC 2920 §3.1: 354 to the DATA behind a refused RCPT is answered with a lone dot
                await self._leave(stage, reply, waits_for_message=replies[-1].code == _START_INPUT)

    async def body(self, message: bytes) -> None:
        """Write the message, dot-stuffed (RFC 5321 §4.5.2), without the final dot; return when the socket took it.

        Raises:
            TransientError: the connection ended, so that the message was not sent.
        """
        if self._ended is None:
            self._transport.write(stuffed(message))
            self._deadline.set(self._timeouts.body)
            await self._writable.wait()
            self._deadline.lift()
        if self._ended is not None:
            raise self._lost("amid the message")

    async def dot(self) -> Receipt:
        """Write the final dot and return the server's receipt: any 2yz is an acceptance.

        The socket is looked at first, past a busy event loop: a server that has left or spoken does not get the dot.

        Raises:
            UncertainError: no reply, or none that says yes or no.
            TransientError, PermanentError: the dot was not written, or the server refused the message.
        """
        if self._ended is None:
            await self._socket.catch_up()
        if self._ended is not None:
            raise self._lost("amid the message")
        self._used = True
        replies = await self._ask(b".\r\n", 1, seconds=self._timeouts.dot)
        if not replies:
            raise UncertainError(f"no reply to the final dot: {self._ended}")
        reply = replies[0]
        if 300 <= reply.code < 400:  # 3yz is no answer to a dot
            self.end(f"the final dot was answered with {reply.code}")
            raise UncertainError(f"no yes or no to the final dot: {reply.receipt}", reply=reply.receipt)
        self.is_ready = True
        if reply.code >= 400:
            raise classify_reply(reply.receipt, Command.DOT)
        return reply.receipt

    # -- its end -------------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the connection is of no more use."""
        return self._ended is not None

    def end(self, why: str) -> None:
        """End the connection at once, whatever is under way on it."""
        self._finish(why)
        self._transport.abort()

    def quit(self) -> None:
        """Take leave (RFC 5321 §4.1.1.10) without waiting for the answer."""
        if self._ended is None:
            self._transport.write(b"QUIT\r\n")
            self._finish("we left")
            self._transport.close()

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over."""
        self._transport = cast("asyncio.Transport", transport)
        self._socket = SocketProbe(transport)

    def data_received(self, data: bytes) -> None:
        """Match replies to the commands they answer, strictly in order."""
        try:
            for reply in self._reader.feed(data):
                pending = self._pending
                if pending is None:
                    self._last_words = reply
                    self.end(f"the server spoke out of turn: {reply.receipt}")
                    return
                is_last = pending.add(reply)
                if reply.code == _SERVICE_CLOSING:
                    self.end("the server is closing")
                    return
                if is_last:
                    self._pending = None
                    self._deadline.lift()
                    pending.end()
                else:
                    self._deadline.set(pending.seconds)
        except MalformedReplyError as error:
            self.end(str(error))

    def eof_received(self) -> None:
        """The server closed."""
        self._finish("the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, for whatever reason."""
        self._finish(f"the connection was lost ({exc})" if exc else "the server closed the connection")

    def pause_writing(self) -> None:
        """The socket is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The socket takes more."""
        self._writable.set()

    # -- inside --------------------------------------------------------------------------------------------------

    async def _open(self, envelope: Envelope) -> list[Reply]:
        """Return the replies to MAIL, RCPT and DATA; fewer if the connection ended, or if one of them was refused."""
        commands = opening_of(envelope, self.features)
        if self.features.pipelining:
            return await self._ask(b"".join(commands), len(commands))
        replies: list[Reply] = []
        for stage, command in zip(_OPENING, commands, strict=True):
            replies += await self._ask(command, 1)
            if self._ended is not None or not _goes_on(stage, replies[-1]):
                break
        return replies

    async def _leave(self, stage: Command, reply: Reply, *, waits_for_message: bool) -> Never:
        """Bring the session back to where MAIL may be said, after an envelope that was refused, and say why.

        Raises:
            TransientError, PermanentError, ServiceRefusesError: what the reply means for the recipient.
        """
        if reply.code < 400:
            # neither yes nor no (RFC 5321 §4.3.2): it is not known what the server waits for now
            self.end(f"{stage} was answered with {reply.code}")
            scope = Scope.SERVER if stage is Command.MAIL else Scope.RECIPIENT
            raise TransientError(f"no yes or no to {stage}: {reply.receipt}", scope=scope, reply=reply.receipt)
        if waits_for_message:
            await self._ask(b".\r\n", 1)  # the server accepted no recipient, so nothing is sent
        replies = await self._ask(b"RSET\r\n", 1)
        if replies and replies[0].code < 300:
            self.is_ready = True
        else:
            self.end("the session could not be reset")
        raise classify_reply(reply.receipt, stage)

    def _lost(self, when: str, *, scope: Scope = Scope.RECIPIENT) -> TransientError:
        reply = self._last_words.receipt if self._last_words else None
        return TransientError(f"the connection ended {when}: {self._ended}", scope=scope, reply=reply)

    async def _ask(self, commands: bytes, wanted: int, *, seconds: float | None = None) -> list[Reply]:
        """Write commands; return their replies, fewer if the connection ended.

        Args:
            commands: what is written at once.
            wanted: how many replies there will be.
            seconds: how long each of them may take; by default as long as any command.
        """
        if self._ended is not None:
            return []
        self._pending = pending = PendingReplies(wanted, seconds or self._timeouts.command)
        self._transport.write(commands)
        self._deadline.set(pending.seconds)
        return await pending.wait()

    def _finish(self, why: str) -> None:
        if self._ended is not None:
            return
        self._ended = why
        self._deadline.cancel()
        self._writable.set()
        if self._pending is not None:
            self._pending.end()
            self._pending = None
        if self.on_end is not None:
            self.on_end()


def _goes_on(stage: Command, reply: Reply) -> bool:
    """Return whether a reply to MAIL, RCPT or DATA lets the transaction go on."""
    return reply.code == _START_INPUT if stage is Command.DATA else reply.code < 300
