"""One logged-in SMTP connection and the steps of one transaction on it. How it came to be is told in `dialing`."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

from campaign.errors import LaterError, PerhapsSentError, Scope
from campaign.smtp.ear import Ear
from campaign.smtp.fates import Stage, fate_of
from campaign.smtp.replies import MalformedReplyError, Reply, ReplyReader
from campaign.smtp.terms import stuffed

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.model import Receipt
    from campaign.smtp.terms import Envelope, Features, Timeouts

_SERVICE_CLOSING = 421
_START_INPUT = 354


class NotBegunError(Exception):
    """The connection ended before the server did anything for this message: another connection may take it."""


class Connection(asyncio.Protocol):
    """A connection: one transaction after the other, each `begin` → `envelope` → `body` → `dot` → `final`.

    The envelope of the next message may ride behind the dot (RFC 2920), and is then not begun again. Nothing is
    sent for good before `dot`. A reply that nobody asked for, or that is no reply, ends the connection.
    """

    def __init__(self, features: Features, timeouts: Timeouts) -> None:
        self.features = features
        #: A message went over it before, so that its end says nothing about the server.
        self.used = False
        self._timeouts = timeouts
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._replies: deque[Reply] = deque()
        self._owed = 0
        self._ended: str | None = None
        self._last_words: Reply | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        #: Called once when the connection has ended; the pool sets it while the connection is idle.
        self.on_end: Callable[[], None] | None = None

    # -- one transaction -----------------------------------------------------------------------------------------

    def begin(self, envelope: Envelope) -> None:
        """Write the envelope: MAIL, RCPT and DATA at once where pipelining is offered, else MAIL alone."""
        self._ask(self._opening(envelope), 3 if self.features.pipelining else 1)

    async def envelope(self, envelope: Envelope) -> None:
        """Return when the server waits for the message (354).

        Raises:
            NotBegunError: the connection ended before, or instead of, the answer to MAIL, and had served before.
            LaterError, NeverError, ServiceRefusesError: the server's answer; the connection is ready again, or ended.
        """
        pipelined = self.features.pipelining
        mail = await self._answer_to_mail()
        if not pipelined and mail.code < 300:  # 2yz
            self._ask(b"RCPT TO:<%b>\r\n" % envelope.recipient.encode(), 1)
        rcpt = await self._answer(Stage.RCPT) if pipelined or mail.code < 300 else mail
        accepted = mail.code < 300 and rcpt.code < 300
        if not pipelined and accepted:
            self._ask(b"DATA\r\n", 1)
        data = await self._answer(Stage.DATA) if pipelined or accepted else rcpt
        if accepted and data.code == _START_INPUT:
            return
        stages = ((Stage.MAIL, mail), (Stage.RCPT, rcpt), (Stage.DATA, data))
        stage, reply = next((each for each in stages if each[1].code >= 300), stages[-1])
        if reply.code >= 400:
            await self._leave(under_way=data.code == _START_INPUT)
            raise fate_of(reply.receipt, stage)
        # neither yes nor no (RFC 5321 §4.3.2): nobody knows what the server waits for now
        self.end(f"{stage} was answered with {reply.code}")
        scope = Scope.SERVER if stage is Stage.MAIL else Scope.RECIPIENT
        raise LaterError(f"no yes or no to {stage}: {reply.receipt}", scope=scope, reply=reply.receipt)

    async def body(self, message: bytes) -> None:
        """Write the message, dot-stuffed (RFC 5321 §4.5.2), without the final dot; return when it is off our hands.

        Raises:
            LaterError: the connection ended, or the server spoke out of turn: the message was not sent.
        """
        if self._ended is None:
            self._transport.write(stuffed(message))
        while self._paused and self._ended is None:
            await self._wait(self._loop.time() + self._timeouts.body)
        await self.check()

    async def check(self) -> None:
        """Raise LaterError if the connection has ended, or if the server spoke: the final dot must not be written."""
        if self._ended is None:
            await self._ear.catch_up()
        if self._ended is not None:
            raise self._lost("amid the message")

    def dot(self, following: Envelope | None = None, *, message: bytes = b"") -> None:
        """Write the final dot, and behind it the next message's envelope: from here on it may be sent.

        Args:
            following: the next message's envelope.
            message: what `body` would have written, if it was not called.
        """
        self.used = True
        data = stuffed(message) + b".\r\n"
        if following is not None and self.features.pipelining:
            self._ask(data + self._opening(following), 4)
        else:
            self._ask(data, 1)

    async def final(self) -> Receipt:
        """Return the server's receipt: any 2yz after the dot is an acceptance.

        Raises:
            PerhapsSentError: no reply, or none that says yes or no.
            LaterError, NeverError: the server refused the message.
        """
        reply = await self._next(self._timeouts.dot)
        if reply is None:
            raise PerhapsSentError(f"no reply to the final dot: {self._ended}")
        if reply.code < 300:
            return reply.receipt
        if reply.code < 400:  # 3yz is no answer to a dot
            self.end(f"the final dot was answered with {reply.code}")
            raise PerhapsSentError(f"no yes or no to the final dot: {reply.receipt}", reply=reply.receipt)
        raise self._fate(reply, Stage.DOT)

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
        self._ear = Ear(transport)

    def data_received(self, data: bytes) -> None:
        """Match replies to what they answer, strictly in order."""
        try:
            for reply in self._reader.feed(data):
                if self._owed == 0:
                    self._last_words = reply
                    self.end(f"the server spoke out of turn: {reply.receipt}")
                    return
                self._owed -= 1
                self._replies.append(reply)
        except MalformedReplyError as error:
            self.end(str(error))
            return
        self._wake()

    def eof_received(self) -> None:
        """The server closed."""
        self._finish("the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, for whatever reason."""
        self._finish(f"the connection was lost ({exc})" if exc else "the server closed the connection")

    def pause_writing(self) -> None:
        """The socket is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """The socket takes more."""
        self._paused = False
        self._wake()

    # -- inside --------------------------------------------------------------------------------------------------

    def _opening(self, envelope: Envelope) -> bytes:
        mail = b"MAIL FROM:<%b>" % envelope.sender.encode()
        if self.features.size is not None:
            mail += b" SIZE=%d" % envelope.size
        if envelope.eight_bit:
            mail += b" BODY=8BITMIME"
        if not self.features.pipelining:
            return mail + b"\r\n"
        return mail + b"\r\nRCPT TO:<%b>\r\nDATA\r\n" % envelope.recipient.encode()

    async def _answer_to_mail(self) -> Reply:
        reply = await self._next(self._timeouts.command)
        if self.used and (self._ended is not None or reply is None or reply.code == _SERVICE_CLOSING):
            self.end("the server ended a used connection")
            raise NotBegunError(self._ended)
        if reply is not None and reply.code != _SERVICE_CLOSING:
            return reply
        if reply is None:
            raise self._lost("before MAIL FROM was answered", scope=Scope.SERVER)
        raise self._fate(reply, Stage.MAIL)

    async def _answer(self, stage: Stage) -> Reply:
        reply = await self._next(self._timeouts.command)
        if reply is None:
            raise self._lost(f"before {stage} was answered")
        if reply.code == _SERVICE_CLOSING:
            raise self._fate(reply, stage)
        return reply

    async def _leave(self, *, under_way: bool) -> None:
        """Bring the session back to where MAIL may be said, after an envelope that came to nothing."""
        if under_way:
            # RFC 2920 §3.1: a 354 is answered with a lone dot; nothing was accepted, so nobody gets it
            self._ask(b".\r\n", 1)
            await self._next(self._timeouts.command)
        self._ask(b"RSET\r\n", 1)
        reply = await self._next(self._timeouts.command)
        if reply is None or reply.code >= 300:
            self.end("the session could not be reset")

    def _fate(self, reply: Reply, stage: Stage) -> Exception:
        if reply.code == _SERVICE_CLOSING:
            self.end("the server is closing")
        return fate_of(reply.receipt, stage)

    def _lost(self, when: str, *, scope: Scope = Scope.RECIPIENT) -> LaterError:
        reply = self._last_words.receipt if self._last_words else None
        return LaterError(f"the connection ended {when}: {self._ended}", scope=scope, reply=reply)

    def _ask(self, commands: bytes, replies: int) -> None:
        if self._ended is None:
            self._owed += replies
            self._transport.write(commands)

    async def _next(self, seconds: float) -> Reply | None:
        """Return the next reply in order, or None if the connection ended before it came whole."""
        if not self._replies:
            due = self._loop.time() + seconds
            while not self._replies:
                if self._ended is not None:
                    return None
                await self._wait(due)
        return self._replies.popleft()

    async def _wait(self, due: float) -> None:
        self._due = due
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._on_timer)
        elif self._timer.when() > self._due:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due, self._on_timer)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._due = 0.0

    def _on_timer(self) -> None:
        # One timer serves all waits: setting one for every command costs more than looking when it fires.
        self._timer = None
        if self._due:
            if self._loop.time() >= self._due:
                self.end("no answer in time")
            else:
                self._timer = self._loop.call_at(self._due, self._on_timer)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _finish(self, why: str) -> None:
        if self._ended is not None:
            return
        self._ended = why
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()
        if self.on_end is not None:
            self.on_end()
