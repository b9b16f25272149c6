"""A few connections for many messages: who gets which, and how many the server allows. No retry of a message."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self

from campaign.errors import CampaignError, DeliveryError, LaterError, NeverError, PerhapsSentError
from campaign.smtp.fates import NotBegunError
from campaign.smtp.job import Job
from campaign.smtp.quota import Quota

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from campaign.clock import Clock
    from campaign.delivery.concurrency import Latency
    from campaign.model import Receipt
    from campaign.smtp.connection import Connection
    from campaign.smtp.exchange import Exchange
    from campaign.smtp.terms import Envelope, Features

    #: Makes the intent durable, and calls what it is given at the very moment in which it is.
    Intent = Callable[[Callable[[], None]], Awaitable[None]]

#: A server this fast (seconds a message) may be waiting for the disk; with any other the disk is not what takes time.
_FAST = 0.04
#: An intent that takes no more than this part of the time that a message is on its connection does not hold it up.
_SHORT = 0.02
#: Octets of a message that any socket takes at once (tcp(7): tcp_wmem's default): its dot does not wait for room.
_AT_ONCE = 16_384


class Dials(Protocol):
    """What opens a connection."""

    async def dial(self) -> Connection:
        """Return a connection that is logged in."""
        ...


class Pool:
    """At most `limit` connections, opened when they are needed; while none has logged in, one at a time is tried.

    Args:
        dialer: opens a connection.
        limit: connections at once.
        clock: the time.
        intent: learns how long an intent takes.
        transaction: learns how long each accepted message was on its connection, without its intent.
    """

    def __init__(self, dialer: Dials, *, limit: int, clock: Clock, intent: Latency, transaction: Latency) -> None:
        self._dialer = dialer
        self._quota = Quota(limit, clock)
        self._clock = clock
        self._asking, self._carrying = intent, transaction
        self._tasks = asyncio.TaskGroup()  # the pool's own: a connection outlives the message that opened it
        self._waiting: deque[Job] = deque()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._dialing = 0
        self._closing = False
        self._in_doubt = False  # a message came to no clear end
        self._features: Features | None = None
        self._refusal: CampaignError | None = None

    async def __aenter__(self) -> Self:
        """Start; nothing is opened yet."""
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Take leave of every server and end."""
        self._closing = True
        for connection in list(self._idle):
            connection.quit()
        await self._tasks.__aexit__(*exc_info)  # type: ignore[arg-type]

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._open)

    @property
    def eight_bit(self) -> bool:
        """Whether every server behind the name takes 8BITMIME, as far as it is known."""
        return self._features is not None and self._features.eight_bit

    async def prove(self) -> None:
        """Open one connection, so that a refused login is known before anything is asked for.

        Raises:
            ServiceRefusesError: see `Dialer.dial`.
            LaterError: see `Dialer.dial`.
        """
        if not self._open:
            self._dialing += 1
            try:
                connection = await self._dialer.dial()
            finally:
                self._dialing -= 1
            self._admit(connection)

    async def send(self, envelope: Envelope, message: bytes, intent: Intent, *, early: bool = False) -> Receipt:
        """Return the server's receipt for one message.

        Args:
            envelope: one recipient.
            message: CRLF line ends, not dot-stuffed.
            intent: awaited when the server has the whole body and lacks the final dot.
            early: it may be awaited while the message waits for a connection, where the disk is what takes time.

        Raises:
            LaterError, NeverError, PerhapsSentError: this message's fate.
            ServiceRefusesError: nobody's message is taken.
        """
        if self._features and self._features.size and envelope.size > self._features.size:
            raise NeverError(f"the message has {envelope.size} octets, the server takes {self._features.size} at most")
        ahead = early and self._waits_for_the_disk
        if ahead:
            await self._ask(intent, lambda: None)
        again = False
        while True:
            job = Job(envelope)
            self._offer(job, first=again)
            try:
                return await self._carry(job, message, None if ahead else intent)
            except NotBegunError:
                # it cannot go on for ever: each time uses up a connection that had served
                again = True

    # -- one message ---------------------------------------------------------------------------------------------

    async def _carry(self, job: Job, message: bytes, intent: Intent | None) -> Receipt:
        """Carry one message through its transaction on the connection that it gets; an intent of None is made."""
        connection = await job.begun()
        asked = 0.0
        try:
            await connection.envelope(job.envelope, job.opening)
            if intent is None and len(message) <= _AT_ONCE and connection.is_quiet:
                final = self._dot(connection, job, body=message)
            else:
                await connection.body(message)
                if intent is not None:
                    asked = await self._ask(intent, partial(self._dot_if_quiet, connection, job), connection)
                if job.final is None:
                    await connection.check(patiently=intent is None)
                final = job.final or self._dot(connection, job)
            receipt = await connection.final(final)
        except (DeliveryError, NotBegunError) as error:
            self._in_doubt |= isinstance(error, PerhapsSentError)
            raise
        except BaseException as error:
            connection.end(str(error) or "the message was taken back")
            raise
        finally:
            self._pass_on(connection, job)
        self._carrying.note(self._clock.now() - job.began - asked)
        return receipt

    async def _ask(self, intent: Intent, at_once: Callable[[], None], connection: Connection | None = None) -> float:
        """Have the intent made durable; return how many seconds that took, for they are not the server's."""
        began = self._clock.now()
        try:
            await intent(at_once)
        except BaseException:
            if connection is not None:
                # the server has the message and must not get the dot
                connection.end("the message was taken back")
            raise
        took = self._clock.now() - began
        self._asking.note(took)
        return took

    def _dot_if_quiet(self, connection: Connection, job: Job) -> None:
        if connection.is_quiet:
            self._dot(connection, job)

    def _dot(self, connection: Connection, job: Job, *, body: bytes = b"") -> Exchange:
        """Write the dot, before it a body that is still here, and behind it the envelope of whoever waits longest."""
        rides = None
        if connection.features.pipelining and (following := self._next_for(connection)):
            job.following, following.connection = following, connection
            rides = (following.envelope, following.opening)
        job.final = connection.dot(rides, body=body)
        return job.final

    def _pass_on(self, connection: Connection, job: Job) -> None:
        """Give a connection that is done with a message to the next one."""
        if job.following is not None:
            job.following.began = self._clock.now()
        else:
            self._release(connection)

    # -- who gets which connection -------------------------------------------------------------------------------

    @property
    def _waits_for_the_disk(self) -> bool:
        """Whether connections stand still for long while intents are made durable.

        Only then, and at a server that has lost no message, is an intent made before the server waits for the message:
        fewer are in doubt after a crash the other way.
        """
        carrying = self._carrying.seconds
        slow_disk = self._asking.seconds > _SHORT * carrying
        return slow_disk and carrying < _FAST and not self._idle and not self._in_doubt

    def _offer(self, job: Job, *, first: bool) -> None:
        if self._refusal:
            job.opening.fail(self._refusal)
            return
        while self._idle:
            connection = self._idle.pop()
            if job.suits(connection.features):
                self._start(connection, job)
            else:
                self._idle.append(connection)
            return
        if first:
            self._waiting.appendleft(job)
        else:
            self._waiting.append(job)
        self._open_more()

    def _next_for(self, connection: Connection) -> Job | None:
        while self._waiting:
            job = self._waiting.popleft()
            if not job.opening.is_over and job.suits(connection.features):
                return job
        return None

    def _start(self, connection: Connection, job: Job) -> None:
        job.connection, job.began = connection, self._clock.now()
        connection.begin(job.envelope, job.opening)

    def _release(self, connection: Connection) -> None:
        """Let a connection serve the next message, or wait for one."""
        if connection.ended:
            return
        if job := self._next_for(connection):
            self._start(connection, job)
        elif self._closing:
            connection.quit()
        else:
            self._idle.append(connection)

    def _gone(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting:
            self._open_more()

    # -- how many there are --------------------------------------------------------------------------------------

    def _open_more(self) -> None:
        if self._refusal or self._closing:
            return
        if self._quota.allows_another(open_now=self.open, dialing=self._dialing, waiting=len(self._waiting)):
            self._dialing += 1
            self._tasks.create_task(self._dial())

    async def _dial(self) -> None:
        try:
            connection = await self._dialer.dial()
        except CampaignError as error:
            self._dialing -= 1
            self._cannot_open(error)
        except BaseException:
            self._dialing -= 1
            raise
        else:
            self._dialing -= 1
            self._admit(connection)

    def _admit(self, connection: Connection) -> None:
        offered = connection.features
        self._features = self._features.common(offered) if self._features else offered
        if connection.ended:
            self._gone(connection)
            return
        self._open.add(connection)
        connection.on_end = partial(self._gone, connection)
        if len(self._waiting) > 1:  # this one takes the first
            self._open_more()
        self._release(connection)

    def _cannot_open(self, error: CampaignError) -> None:
        if isinstance(error, LaterError) and self._open:
            self._quota.failed(open_now=self.open, spoke=error.reply is not None)
            return
        if not isinstance(error, LaterError):
            self._refusal = error  # another login would be refused, too, and might lock the account
        while self._waiting:
            self._waiting.popleft().opening.fail(error)
