"""One logged-in SMTP connection and the steps of one transaction on it. How it came to be is told in `dialing`."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

from campaign.ear import Ear
from campaign.errors import LaterError, PerhapsSentError, Scope
from campaign.smtp.deadline import Deadline
from campaign.smtp.exchange import Exchange
from campaign.smtp.fates import NotBegunError, Stage, fate_of
from campaign.smtp.replies import MalformedReplyError, Reply, ReplyReader
from campaign.smtp.terms import opening_of, stuffed

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.model import Receipt
    from campaign.smtp.terms import Envelope, Features, Timeouts

_SERVICE_CLOSING = 421
_START_INPUT = 354
#: What nearly every server answers to MAIL, RCPT and DATA, where they are pipelined.
_ALL_YES = [250, 250, _START_INPUT]


class Connection(asyncio.Protocol):
    """A connection: one transaction after the other, each `begin` → `envelope` → `body` → `dot` → `final`.

    The envelope of the next message may ride behind the dot (RFC 2920), and is then not begun again. Nothing is
    sent for good before `dot`. A reply that nobody asked for, or that is no reply, ends the connection.
    """

    def __init__(self, features: Features, timeouts: Timeouts) -> None:
        self.features = features
        #: A message went over it before, so that its end says nothing about the server.
        self.used = False
        self._replies_to_opening = 3 if features.pipelining else 1
        self._timeouts = timeouts
        self._transport: asyncio.Transport
        self._reader = ReplyReader()
        self._owed: deque[Exchange] = deque()
        self._ended: str | None = None
        self._last_words: Reply | None = None
        self._room: Exchange | None = None
        self._paused = False
        self._deadline = Deadline(lambda: self.end("no answer in time"))
        #: Called once when the connection has ended.
        self.on_end: Callable[[], None] | None = None

    # -- one transaction -----------------------------------------------------------------------------------------

    def begin(self, envelope: Envelope, opening: Exchange) -> None:
        """Write the envelope: MAIL, RCPT and DATA at once where pipelining is offered, else MAIL alone."""
        self._ask(opening_of(envelope, self.features), (opening, self._replies_to_opening))

    async def envelope(self, envelope: Envelope, opening: Exchange) -> None:
        """Return when the server waits for the message (354).

        Args:
            envelope: as it was begun.
            opening: what it was begun with, or what rode behind a dot.

        Raises:
            NotBegunError: the connection ended before, or instead of, the answer to MAIL, or for another message's
                sake, and had served before.
            LaterError, NeverError, ServiceRefusesError: the server's answer; the connection is ready again, or ended.
        """
        replies = await opening.over()
        if self._ended is None and [reply.code for reply in replies] == _ALL_YES:
            return
        mail = rcpt = data = self._answer_to_mail(replies)
        if self.features.pipelining:
            rcpt, data = self._answer(replies[1:2], Stage.RCPT), self._answer(replies[2:3], Stage.DATA)
        elif mail.code < 300:  # 2yz
            command = b"RCPT TO:<%b>\r\n" % envelope.recipient.encode()
            rcpt = data = self._answer(await self._ask_one(command), Stage.RCPT)
            if rcpt.code < 300:
                data = self._answer(await self._ask_one(b"DATA\r\n"), Stage.DATA)
        if mail.code < 300 and rcpt.code < 300 and data.code == _START_INPUT:
            if self._ended is None:
                return
            raise NotBegunError(self._ended) if self.used else self._lost("before the message")
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
            LaterError: the connection ended, so that the message was not sent.
        """
        if self._ended is None:
            self._transport.write(stuffed(message))
        while self._paused and self._ended is None:
            self._room = Exchange()
            self._deadline.set(self._timeouts.body)
            await self._room.over()
            self._deadline.lift()
        if self._ended is not None:
            raise self._lost("amid the message")

    @property
    def is_quiet(self) -> bool:
        """Whether the server has neither left nor spoken, as far as the machine knows."""
        return self._ended is None and self._ear.hears_nothing

    async def check(self, *, patiently: bool = False) -> None:
        """Raise LaterError if the connection has ended, or if the server spoke: the final dot must not be written.

        Args:
            patiently: nothing has been waited for since the body was written; let the event loop look around first.
        """
        if self._ended is None:
            await self._ear.catch_up(patiently=patiently)
        if self._ended is not None:
            raise self._lost("amid the message")

    def dot(self, following: tuple[Envelope, Exchange] | None = None, *, body: bytes = b"") -> Exchange:
        """Write the final dot: from here on the message may be sent. Return what `final` waits for.

        Args:
            following: the next message's envelope, which rides behind the dot, and who waits for its replies; only
                where pipelining is offered.
            body: the message, where it was not written before: it leaves in one write with its dot.
        """
        self.used = True
        final, data, asked = Exchange(), [stuffed(body), b".\r\n"], []
        if following is not None:
            envelope, opening = following
            data.append(opening_of(envelope, self.features))
            asked = [(opening, self._replies_to_opening)]
        self._ask(b"".join(data), (final, 1), *asked, seconds=self._timeouts.dot)
        return final

    async def final(self, exchange: Exchange) -> Receipt:
        """Return the server's receipt: any 2yz after the dot is an acceptance.

        Raises:
            PerhapsSentError: no reply, or none that says yes or no.
            LaterError, NeverError: the server refused the message.
        """
        replies = await exchange.over()
        if not replies:
            raise PerhapsSentError(f"no reply to the final dot: {self._ended}")
        reply = replies[0]
        if reply.code < 300:
            return reply.receipt
        if reply.code < 400:  # 3yz is no answer to a dot
            self.end(f"the final dot was answered with {reply.code}")
            raise PerhapsSentError(f"no yes or no to the final dot: {reply.receipt}", reply=reply.receipt)
        raise fate_of(reply.receipt, Stage.DOT)

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
        reply = None
        try:
            for reply in self._reader.feed(data):
                if not self._owed:
                    self._last_words = reply
                    self.end(f"the server spoke out of turn: {reply.receipt}")
                    return
                exchange = self._owed[0]
                exchange.replies.append(reply)
                if reply.code == _SERVICE_CLOSING:
                    self.end("the server is closing")
                    return
                if len(exchange.replies) == exchange.wanted:
                    self._owed.popleft()
                    exchange.end()
            if reply is not None:
                self._expect_next()
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
        self._paused = True

    def resume_writing(self) -> None:
        """The socket takes more."""
        self._paused = False
        if self._room is not None:
            self._room.end()

    # -- inside --------------------------------------------------------------------------------------------------

    def _answer_to_mail(self, replies: list[Reply]) -> Reply:
        reply = replies[0] if replies else None
        if self.used and (reply is None or reply.code == _SERVICE_CLOSING):
            self.end("the server ended a used connection")
            raise NotBegunError(self._ended)
        if reply is None:
            raise self._lost("before MAIL FROM was answered", scope=Scope.SERVER)
        if reply.code == _SERVICE_CLOSING:
            raise fate_of(reply.receipt, Stage.MAIL)
        return reply

    def _answer(self, replies: list[Reply], stage: Stage) -> Reply:
        if not replies:
            raise self._lost(f"before {stage} was answered")
        if replies[0].code == _SERVICE_CLOSING:
            raise fate_of(replies[0].receipt, stage)
        return replies[0]

    async def _leave(self, *, under_way: bool) -> None:
        """Bring the session back to where MAIL may be said, after an envelope that came to nothing."""
        if under_way:
            # RFC 2920 §3.1: a 354 is answered with a lone dot; nothing was accepted, so nobody gets it
            await self._ask_one(b".\r\n")
        replies = await self._ask_one(b"RSET\r\n")
        if not replies or replies[0].code >= 300:
            self.end("the session could not be reset")

    def _lost(self, when: str, *, scope: Scope = Scope.RECIPIENT) -> LaterError:
        reply = self._last_words.receipt if self._last_words else None
        return LaterError(f"the connection ended {when}: {self._ended}", scope=scope, reply=reply)

    async def _ask_one(self, command: bytes) -> list[Reply]:
        exchange = Exchange()
        self._ask(command, (exchange, 1))
        return await exchange.over()

    def _ask(self, commands: bytes, *asked: tuple[Exchange, int], seconds: float | None = None) -> None:
        """Write commands that are answered so many times each; the first exchange may have a time-out of its own."""
        for exchange, wanted in asked:
            exchange.wanted = wanted
            exchange.seconds, seconds = seconds or self._timeouts.command, None
            if self._ended is not None:
                exchange.end()
            else:
                self._owed.append(exchange)
        if self._ended is None:
            self._transport.write(commands)
            if not self._deadline.is_set:
                self._expect_next()

    def _expect_next(self) -> None:
        """Give the server time for its next whole reply."""
        if self._owed:
            self._deadline.set(self._owed[0].seconds)
        else:
            self._deadline.lift()

    def _finish(self, why: str) -> None:
        if self._ended is not None:
            return
        self._ended = why
        self._deadline.cancel()
        while self._owed:
            self._owed.popleft().end()
        if self._room is not None:
            self._room.end()
        if self.on_end is not None:
            self.on_end()
