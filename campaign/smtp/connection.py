"""Run SMTP transactions on one logged-in connection: `Connection`. `connector.py` opens it."""

from __future__ import annotations

import asyncio
from itertools import zip_longest
from typing import TYPE_CHECKING, Never, cast

from campaign.errors import Scope, TransientError, UncertainError
from campaign.smtp.pending_replies import PendingReplies
from campaign.smtp.replies import MalformedReplyError, Reply, ReplyReader
from campaign.smtp.reply_codes import (
    AUTHENTICATION,
    BAD_SEQUENCE,
    SERVICE_CLOSING,
    Command,
    ConnectionSpentError,
    classify_reply,
)
from campaign.smtp.socket_probe import SocketProbe
from campaign.smtp.terms import blocks_of, opening_of
from campaign.smtp.timer import Timer
from campaign.words import receipt, redacted

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.model import Receipt
    from campaign.smtp.terms import Envelope, Features, Timeouts

_START_INPUT = 354
_OPENING = (Command.MAIL, Command.RCPT, Command.DATA)


class Connection(asyncio.Protocol):
    """A logged-in connection; each transaction is `envelope` → `body` → `dot`.

    The server cannot accept the message before `dot`. Nothing is written between the final dot and its reply: servers
    that are hardened against SMTP smuggling refuse the message or the commands after it. A reply without a command,
    or a line that is not a reply, ends the connection.

    Args:
        features: what the server offers.
        timeouts: those of a transaction.
        renews_login: the login expires, and another connection renews it.
    """

    def __init__(self, features: Features, timeouts: Timeouts, *, renews_login: bool = False) -> None:
        self.features = features
        self._renews_login = renews_login
        #: Called once when the connection has ended.
        self.on_end: Callable[[], None] | None = None
        #: Whether no transaction is in progress, so that MAIL may be sent.
        self.is_ready = True
        # a message was sent on it before, so its end, or a 421, says nothing about the server: it is spent
        self._used = False
        self._timeouts = timeouts
        self._secrets: tuple[str, ...] = ()
        self._transport: asyncio.Transport
        self._reader = ReplyReader()
        self._pending: PendingReplies | None = None
        self._ended: str | None = None
        self._last_words: Reply | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._deadline = Timer(lambda: self.end("the server did not answer in time"))

    # -- one transaction -----------------------------------------------------------------------------------------

    async def envelope(self, envelope: Envelope) -> None:
        """Send MAIL, RCPT and DATA, in one write if the server offers PIPELINING (RFC 2920); return after 354.

        Raises:
            ConnectionSpentError: the connection was used before, and ended before the reply to MAIL or with 421.
            TransientError, PermanentError, ServiceRefusesError: the server refused a command, or the connection ended;
                afterwards the connection is ready again, or ended.
        """
        self.is_ready = False
        self._secrets = (envelope.secret,) if envelope.secret else ()
        replies = await self._open(envelope)
        if self._used and not replies:
            raise ConnectionSpentError(f"the connection ended before {Command.MAIL}: {self._ended}")
        for stage, reply in zip_longest(_OPENING, replies):
            if reply is None:
                scope = Scope.SERVER if stage is Command.MAIL else Scope.RECIPIENT
                raise self._lost(f"before the reply to {stage}", scope=scope)
            if not _goes_on(stage, reply):
                if self._used and self._is_spent(stage, reply):
                    self.end("the server takes no more messages on this connection")
                    raise ConnectionSpentError.by_reply(stage, self._receipt(reply))
                await self._leave(stage, reply, waits_for_message=replies[-1].code == _START_INPUT)

    async def body(self, *message: bytes) -> None:
        """Write the message, dot-stuffed (RFC 5321 §4.5.2), without the final dot; wait while the buffer is full.

        Args:
            message: one or more pieces, each of which ends with CRLF.

        Raises:
            ConnectionSpentError: the connection was used before, and ended with 421; the message was not sent.
            TransientError: the connection ended; the message was not sent.
        """
        # a block at a time: the buffer holds no more, and each block has a timeout (RFC 5321 §4.5.3.2.5)
        for block in blocks_of(message):
            if self._ended is None:
                self._transport.write(block)
                self._deadline.set(self._timeouts.body)
                await self._writable.wait()
                self._deadline.lift()
        if self._ended is not None:
            raise self._lost("during the message")

    async def dot(self) -> Receipt:
        """Write the final dot and return the server's receipt: any 2yz reply means acceptance.

        The socket is polled first, since a busy event loop may not have read it: if the server has closed the
        connection or sent a reply, the dot is not written.

        Raises:
            UncertainError: there is no reply, or the reply neither accepts nor refuses the message.
            ConnectionSpentError: the connection was used before, and ended with 421: the message was not accepted.
            TransientError, PermanentError: the dot was not written, or the server refused the message.
        """
        if self._ended is None:
            await self._socket.catch_up()
        if self._ended is not None:
            raise self._lost("during the message")
        used_before, self._used = self._used, True
        replies = await self._ask(b".\r\n", 1, seconds=self._timeouts.dot)
        if not replies:
            raise UncertainError(f"no reply to the final dot: {self._ended}")
        reply = replies[0]
        if 300 <= reply.code < 400:  # 3yz is not a valid reply to the dot
            self.end(f"the reply to the final dot was {reply.code}")
            raise UncertainError(
                f"the reply to the final dot neither accepts nor refuses the message: {self._receipt(reply)}",
                reply=self._receipt(reply),
            )
        self.is_ready = True
        if used_before and reply.code == SERVICE_CLOSING:  # RFC 5321 §4.2.1: 4yz refuses the message
            raise ConnectionSpentError.by_reply(Command.DOT, self._receipt(reply))
        if reply.code >= 400:
            raise classify_reply(self._receipt(reply), Command.DOT)
        return self._receipt(reply)

    # -- ending the connection -----------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the connection has ended."""
        return self._ended is not None

    def end(self, why: str) -> None:
        """Abort the connection at once, even during a transaction."""
        self._finish(why)
        self._transport.abort()

    def quit(self) -> None:
        """Send QUIT (RFC 5321 §4.1.1.10) and close without waiting for the reply."""
        if self._ended is None:
            self._transport.write(b"QUIT\r\n")
            self._finish("the client closed the connection")
            self._transport.close()

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._socket = SocketProbe(transport)

    def data_received(self, data: bytes) -> None:
        """Match replies to commands, strictly in order."""
        try:
            for reply in self._reader.feed(data):
                pending = self._pending
                if pending is None:
                    self._last_words = reply
                    self.end(f"the server sent a reply without a command: {self._receipt(reply)}")
                    return
                is_last = pending.add(reply)
                if reply.code == SERVICE_CLOSING:
                    self.end("the server is closing")
                    return
                if is_last:
                    self._pending = None
                    self._deadline.lift()
                    pending.end()
                else:
                    self._deadline.set(pending.seconds)
        except MalformedReplyError as error:
            self.end(redacted(str(error), self._secrets))

    def eof_received(self) -> None:
        """End: the server closed the connection."""
        self._finish("the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """End: the connection was lost or closed."""
        self._finish(f"the connection was lost ({exc})" if exc else "the server closed the connection")

    def pause_writing(self) -> None:
        """Note that the write buffer is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that the write buffer has room again."""
        self._writable.set()

    # -- inside --------------------------------------------------------------------------------------------------

    async def _open(self, envelope: Envelope) -> list[Reply]:
        """Return the replies to MAIL, RCPT and DATA; fewer if the connection ended or the server refused a command."""
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
        """Reset the session after a refused command, so that MAIL may be sent again, and raise the error.

        Raises:
            TransientError, PermanentError, ServiceRefusesError: always; the meaning of the reply.
        """
        if reply.code < 400:
            # neither success nor refusal (RFC 5321 §4.3.2): the server's state is unknown
            self.end(f"the reply to {stage} was {reply.code}")
            scope = Scope.SERVER if stage is Command.MAIL else Scope.RECIPIENT
            raise TransientError(
                f"the reply to {stage} neither accepts nor refuses it: {self._receipt(reply)}",
                scope=scope,
                reply=self._receipt(reply),
            )
        if waits_for_message:
            # RFC 2920 §3.1 asks for a lone dot, but a server that takes a message for a refused envelope might
            # deliver an empty one; like Exim, write nothing more
            self.end(f"the server answered {_START_INPUT} after it had refused {stage}")
        replies = await self._ask(b"RSET\r\n", 1)
        if replies and replies[0].code < 300:
            self.is_ready = True
        else:
            self.end("the session could not be reset")
        raise classify_reply(self._receipt(reply), stage)

    def _lost(self, when: str, *, scope: Scope = Scope.RECIPIENT) -> TransientError | ConnectionSpentError:
        reply = self._receipt(self._last_words) if self._last_words else None
        reason = f"the connection ended {when}: {self._ended}"
        if self._used and reply is not None and reply.code == SERVICE_CLOSING:
            return ConnectionSpentError(reason, reply=reply)
        return TransientError(reason, scope=scope, reply=reply)

    async def _ask(self, commands: bytes, wanted: int, *, seconds: float | None = None) -> list[Reply]:
        """Write commands and return their replies; fewer if the connection ended.

        Args:
            commands: the bytes to write, in one write.
            wanted: the number of expected replies.
            seconds: the timeout of each reply; by default `Timeouts.command`.
        """
        if self._ended is not None:
            return []
        self._pending = pending = PendingReplies(wanted, seconds or self._timeouts.command)
        self._transport.write(commands)
        self._deadline.set(pending.seconds)
        return await pending.wait()

    def _receipt(self, reply: Reply) -> Receipt:
        return receipt(reply.code, reply.text, secrets=self._secrets) if self._secrets else reply.receipt

    def _is_spent(self, stage: Command, reply: Reply) -> bool:
        """Return whether a refusal on a used connection is about the connection and not about the message."""
        if reply.code == SERVICE_CLOSING or (reply.code in AUTHENTICATION and self._renews_login):
            return True
        return stage is Command.MAIL and reply.code == BAD_SEQUENCE

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
