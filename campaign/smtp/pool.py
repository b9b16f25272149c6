"""A few connections for many messages: who gets which, and how many the server allows. No retry of a message."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

from campaign.concurrency import Latency
from campaign.errors import CampaignError, DeliveryError, LaterError, NeverError
from campaign.smtp.connection import Connection, NotBegunError
from campaign.smtp.job import Job

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from campaign.clock import Clock
    from campaign.model import Receipt
    from campaign.smtp.terms import Envelope, Features

#: Seconds after which one connection more is tried, when the server had allowed fewer than configured.
_TRY_MORE_AFTER = 60.0
#: Seconds after which another connection is tried, when one could not be opened beside others.
_TRY_AGAIN_AFTER = 1.0
#: A server this fast (seconds a message) may be waiting for the disk; with any other the disk is not what takes time.
_FAST = 0.02
#: Connections that are opened at once beside others: a password that was changed is not tried more often.
_TOGETHER = 2


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
        took: told how many seconds each accepted message was on its connection.
    """

    def __init__(self, dialer: Dials, *, limit: int, clock: Clock, took: Callable[[float], None]) -> None:
        self._dialer = dialer
        self._limit = limit
        self._allowed = limit
        self._more_at = self._next_at = 0.0
        self._clock = clock
        self._took = took
        self._tasks = asyncio.TaskGroup()  # the pool's own: a connection outlives the message that opened it
        self._waiting: deque[Job] = deque()
        self._idle: dict[Connection, asyncio.Future[Job | None]] = {}
        self._open: set[Connection] = set()
        self._dialing = 0
        self._closing = False
        self._features: Features | None = None
        self._refusal: CampaignError | None = None
        # Where the disk is slower than a fast server, and messages wait for connections, the intent is made durable one
        # message ahead; elsewhere in the last moment, so that a crash leaves few in doubt that had not left.
        self._asking, self._carrying = Latency(), Latency()

    async def __aenter__(self) -> Self:
        """Start; nothing is opened yet."""
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Take leave of every server and end."""
        self._closing = True
        for connection, future in list(self._idle.items()):
            if not future.done():
                future.set_result(None)
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
            self._tasks.create_task(self._serve(self._admit(connection)))

    async def send(self, envelope: Envelope, message: bytes, before_dot: Callable[[], Awaitable[None]]) -> Receipt:
        """Return the server's receipt for one message.

        Args:
            envelope: one recipient.
            message: CRLF line ends, not dot-stuffed.
            before_dot: makes the intent durable; called when the server has the whole body and lacks the final dot.

        Raises:
            LaterError, NeverError, PerhapsSentError: this message's fate.
            ServiceRefusesError: nobody's message is taken.
        """
        if self._features and self._features.size and envelope.size > self._features.size:
            raise NeverError(f"the message has {envelope.size} octets, the server takes {self._features.size} at most")
        job = Job(envelope, message, before_dot, asyncio.get_running_loop().create_future())
        self._offer(job)
        return await job.receipt

    # -- inside --------------------------------------------------------------------------------------------------

    def _offer(self, job: Job, *, first: bool = False) -> None:
        if self._refusal:
            job.fail(self._refusal)
            return
        for connection, future in self._idle.items():
            if not future.done() and not connection.ended:
                future.set_result(job)
                return
        if first:
            self._waiting.appendleft(job)
        else:
            self._waiting.append(job)
        self._open_more()

    def _open_more(self) -> None:
        if self._allowed < self._limit and self._clock.now() >= self._more_at:
            self._allowed += 1
            self._more_at = self._clock.now() + _TRY_MORE_AFTER
        if self._open and self._clock.now() < self._next_at:
            return
        room = self._allowed if self._open else 1
        if self._refusal or self._closing:
            return
        if len(self._open) + self._dialing < room and self._dialing < min(len(self._waiting), _TOGETHER):
            self._dialing += 1
            self._tasks.create_task(self._dial())

    async def _dial(self) -> None:
        try:
            connection = await self._dialer.dial()
        except CampaignError as error:
            self._dialing -= 1
            self._cannot_open(error)
            return
        except BaseException:
            self._dialing -= 1
            raise
        self._dialing -= 1
        await self._serve(self._admit(connection))

    def _admit(self, connection: Connection) -> Connection:
        offered = connection.features
        self._features = self._features.common(offered) if self._features else offered
        self._open.add(connection)
        if len(self._waiting) > 1:  # this one takes the first
            self._open_more()
        return connection

    def _cannot_open(self, error: CampaignError) -> None:
        if isinstance(error, LaterError) and self._open:
            self._next_at = self._clock.now() + _TRY_AGAIN_AFTER
            if error.reply is not None:
                # the server takes no more than these: meet it at its limit, and try one more later
                self._allowed = len(self._open)
                self._more_at = self._clock.now() + _TRY_MORE_AFTER
            return
        if not isinstance(error, LaterError):
            self._refusal = error  # another login would be refused, too, and might lock the account
        while self._waiting:
            self._waiting.popleft().fail(error)

    async def _serve(self, connection: Connection) -> None:
        """Put one message after the other on a connection until it ends."""
        job: Job | None = None
        try:
            while True:
                if job is None:
                    job = await self._next_job(connection)
                    if job is None:
                        return
                    if not job.suits(connection.features):
                        job = None
                        continue
                    connection.begin(job.envelope)
                job = await self._carry(connection, job)
        except BaseException as error:
            if job is not None:
                job.fail(error)
            raise
        finally:
            self._open.discard(connection)
            if self._closing and job is None:
                connection.quit()
            else:  # amid a message QUIT would be a part of it
                connection.end("it is of no more use")
                if self._waiting:
                    self._open_more()

    async def _carry(self, connection: Connection, job: Job) -> Job | None:
        """Carry one message through its transaction; return the one whose envelope rides behind its dot, if any."""
        following: Job | None = None
        began = self._clock.now()
        try:
            await connection.envelope(job.envelope)
            ahead = job.early is not None
            if not ahead:
                await connection.body(job.message)
            began += await self._ask(connection, job)
            await connection.check()
            if connection.features.pipelining and self._waiting:
                first = self._waiting.popleft()
                following = first if first.suits(connection.features) else None
            connection.dot(following.envelope if following else None, message=job.message if ahead else b"")
            if following and following.early is None and self._carrying.seconds < min(_FAST, self._asking.seconds):
                following.early = self._tasks.create_task(self._ahead(following))
            receipt = await connection.final()
        except NotBegunError:
            # it cannot go on for ever: each time uses up a connection that had served
            self._offer(job, first=True)
        except DeliveryError as error:
            job.fail(error)
        except CampaignError as error:
            job.fail(error)
            connection.end(str(error))
        else:
            took = self._clock.now() - began
            self._carrying.note(took)
            self._took(took)
            if not job.receipt.done():
                job.receipt.set_result(receipt)
        return following

    async def _ask(self, connection: Connection, job: Job) -> float:
        """Have the intent made durable; return how many seconds that took, for they are not the server's."""
        began = self._clock.now()
        try:
            if job.early is None:
                await job.before_dot()
            elif error := await job.early:
                raise error
        except BaseException:
            # the server has the message and must not get the dot
            connection.end("the message was taken back")
            raise
        took = self._clock.now() - began
        if job.early is None:
            self._asking.note(took)
        return took

    async def _ahead(self, job: Job) -> CampaignError | None:
        """Make a job's intent durable ahead of its time; return the error instead of raising it into the group."""
        began = self._clock.now()
        try:
            await job.before_dot()
        except CampaignError as error:
            return error
        self._asking.note(self._clock.now() - began)
        return None

    async def _next_job(self, connection: Connection) -> Job | None:
        """Return the next message for this connection, or None when it has ended or the pool closes."""
        if connection.ended or self._closing:
            return None
        if self._waiting:
            return self._waiting.popleft()
        future: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()

        def let_go() -> None:
            if not future.done():
                future.set_result(None)

        self._idle[connection] = future
        connection.on_end = let_go
        try:
            return await future
        finally:
            connection.on_end = None
            del self._idle[connection]
