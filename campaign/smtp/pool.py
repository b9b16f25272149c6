"""Share a few SMTP connections among many messages: `Pool.send`.

The pool does not retry a message that a server refused; it sends one again whose refusal was about the connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Self

from campaign.errors import CampaignError, PermanentError, Scope, TransientError
from campaign.smtp.connection_limit import ConnectionLimit
from campaign.smtp.reply_codes import ConnectionSpentError, is_too_fast, is_too_many_connections
from campaign.smtp.terms import Envelope, Features

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from campaign.clock import Clock
    from campaign.model import Receipt
    from campaign.smtp.connection import Connection
    from campaign.smtp.connector import Connects

    #: Writes the intent to send; returns when it is durable.
    Intent = Callable[[], Awaitable[None]]


#: A message is sent again at most this often, beyond once for each connection, because the server's limits were met.
#: Connections that are spent do not count: each of them has carried a message before, so there is an end to them.
_MAX_REPETITIONS = 8
#: Seconds in which the server may still count connections that were closed because it wants fewer. A message is tried
#: again meanwhile, after waits that double from the first to the last.
_CLOSING_S = 10.0
_FIRST_WAIT_S, _LAST_WAIT_S = 0.1, 2.0


class Pool:
    """A connection pool: opens at most `limit` connections, on demand; while none is open, it tries one at a time.

    A connection carries one message at a time. A message that finds no idle connection waits in a FIFO queue. A
    connection that has ended counts as open until `send` is done with its message. So at most `limit` intents are
    without an outcome at any time, and at most `limit` rows are uncertain after a crash.

    Args:
        connector: opens a connection.
        limit: the maximum number of connections.
        clock: gives the time.
        on_accepted: called for each accepted message with the seconds it took, without the wait for its intent.
        on_too_fast: called with the reason when the server wants fewer messages a second; it must slow down the
            intents, since the message is sent again. Without it such a message is not sent again.
    """

    def __init__(
        self,
        connector: Connects,
        *,
        limit: int,
        clock: Clock,
        on_accepted: Callable[[float], None] = lambda _: None,
        on_too_fast: Callable[[str], None] | None = None,
    ) -> None:
        self._connector = connector
        self._limit = limit
        self._on_too_fast = on_too_fast
        self._quota = ConnectionLimit(limit, clock)
        self._clock = clock
        self._on_accepted = on_accepted
        self._tasks = asyncio.TaskGroup()  # belongs to the pool: a connection outlives the message that opened it
        self._waiting: deque[asyncio.Future[Connection]] = deque()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._dialing = 0
        self._closing = False
        #: Until when the server may still count a connection that was closed because it wants fewer.
        self._closing_until = 0.0
        self._features: Features | None = None
        self._refusal: CampaignError | None = None
        self._warming = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Start the pool without opening a connection."""
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Send QUIT on every idle connection and close the pool."""
        self._closing = True
        self.rest()
        await self._tasks.__aexit__(*exc_info)  # type: ignore[arg-type]

    def rest(self) -> None:
        """Send QUIT on every idle connection; a message opens one again."""
        for connection in list(self._idle):
            connection.quit()

    @property
    def open(self) -> int:
        """The number of open connections."""
        return len(self._open)

    @property
    def features(self) -> Features:
        """What every server seen so far under the host name offers; nothing before the first connection."""
        return self._features or Features()

    async def warm_up(self) -> None:
        """Open one connection, so that a refused login is known before the run creates tokens.

        A refusal of an earlier login is forgotten: this is the next try. Callers at the same time share it.

        Raises:
            ServiceRefusesError, TransientError: see `Connector.connect`.
        """
        async with self._warming:
            self._refusal = None
            if not self._open:
                self._dialing += 1
                self._admit(await self._connect())

    async def send(self, envelope: Envelope, message: bytes | tuple[bytes, ...], intent: Intent) -> Receipt:
        """Send one message and return the server's receipt.

        Args:
            envelope: sender, recipient and size.
            message: the message with CRLF line ends, not dot-stuffed; or its pieces, each of which ends with CRLF.
            intent: awaited after the message is written and before the final dot; again if the message is sent again,
                because the server's limit of messages, connections or speed was met: it was not accepted then.

        Raises:
            TransientError, PermanentError, UncertainError: this message was not accepted, or the outcome is unknown.
            ServiceRefusesError: the server accepts no message with this login or sender.
        """
        if self._features and self._features.size and envelope.size > self._features.size:
            raise PermanentError(
                f"the message has {envelope.size} bytes, but the server accepts at most {self._features.size}"
            )
        pieces = (message,) if isinstance(message, bytes) else message
        error: TransientError | None = None
        wait = _FIRST_WAIT_S
        tries = 0
        while tries < self._limit + _MAX_REPETITIONS:
            connection = await self._acquire(first=error is not None)
            try:
                return await self._transact(connection, envelope, pieces, intent)
            except ConnectionSpentError as spent:
                error = TransientError(spent.reason, scope=Scope.SERVER, reply=spent.reply)
                tries += self._meets_limit(connection, error)
            except TransientError as refusal:
                if not self._meets_limit(connection, refusal):
                    raise
                tries += 1
                error = refusal
            finally:
                self._release(connection)
            if error.reply is not None and is_too_many_connections(error.reply):
                await self._clock.sleep(wait)
                wait = min(2 * wait, _LAST_WAIT_S)
        assert error is not None  # noqa: S101 - the loop ends only after an error
        raise error

    async def _transact(
        self, connection: Connection, envelope: Envelope, message: tuple[bytes, ...], intent: Intent
    ) -> Receipt:
        # RFC 6152 §3: without 8BITMIME no 8-bit text; servers behind one name may offer different extensions
        if envelope.eight_bit and not connection.features.eight_bit:
            raise TransientError(
                "another server of the same name does not accept 8-bit text; the message is encoded again",
                scope=Scope.NONE,
            )
        began = self._clock.now()
        await connection.envelope(envelope)
        await connection.body(*message)
        asked = self._clock.now()
        await intent()
        durable = self._clock.now()
        receipt = await connection.dot()
        self._on_accepted(asked - began + self._clock.now() - durable)
        return receipt

    def _meets_limit(self, connection: Connection, error: TransientError) -> bool:
        """Return whether a message was refused for a limit that is kept from now on, so that it may be sent again."""
        if error.reply is None:
            return False
        if is_too_fast(error.reply) and self._on_too_fast:
            self._on_too_fast(error.reason)
            return True
        if not is_too_many_connections(error.reply):
            return False
        now = self._clock.now()
        if self.open + self._dialing > 1:  # the server counts those that are being opened, too
            if self.open > 1:
                connection.quit()
            self._quota.lower(to=max(self.open - 1, 1))
            self._closing_until = now + _CLOSING_S
        return now < self._closing_until

    # -- assigning connections to messages -----------------------------------------------------------------------

    async def _acquire(self, *, first: bool) -> Connection:
        """Return the next idle connection.

        Args:
            first: whether this message goes before all other waiting messages.

        Raises:
            TransientError, ServiceRefusesError: no connection can be opened.
        """
        if self._refusal:
            raise self._refusal
        if self._idle:
            return self._idle.pop()
        free: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(free)
        else:
            self._waiting.append(free)
        self._open_more()
        try:
            return await free
        except asyncio.CancelledError:
            if not free.cancelled() and free.exception() is None:  # it got a connection that it can no longer use
                self._release(free.result())
            raise

    def _release(self, connection: Connection) -> None:
        """Give the connection to the first waiting message, or keep it idle for the next one."""
        if not connection.is_ready and not connection.ended:
            # SMTP cannot cancel a message after its transfer began: the connection must end
            connection.end("the message was cancelled")
        if connection.ended:
            self._forget(connection)
        elif (free := self._next_waiting()) is not None:
            free.set_result(connection)
        elif self._closing:
            connection.quit()
            self._forget(connection)
        else:
            self._idle.append(connection)

    def _next_waiting(self) -> asyncio.Future[Connection] | None:
        while self._waiting:
            if not (free := self._waiting.popleft()).done():
                return free
        return None

    def _ended(self, connection: Connection) -> None:
        """Replace an idle connection that has ended; `_release` replaces one that carries a message."""
        if connection in self._idle:
            self._idle.remove(connection)
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if self._waiting:
            self._open_more()

    # -- opening connections -------------------------------------------------------------------------------------

    def _open_more(self) -> None:
        if self._refusal or self._closing:
            return
        if self._quota.allows_another(open_now=self.open, dialing=self._dialing, waiting=len(self._waiting)):
            self._dialing += 1
            self._tasks.create_task(self._add())

    async def _add(self) -> None:
        try:
            connection = await self._connect()
        except CampaignError as error:
            self._cannot_open(error)
        else:
            self._admit(connection)

    async def _connect(self) -> Connection:
        """Return a new connection; the caller has already counted it in `_dialing`."""
        try:
            return await self._connector.connect()
        finally:
            self._dialing -= 1

    def _admit(self, connection: Connection) -> None:
        offered = connection.features
        self._features = self._features.common(offered) if self._features else offered
        self._open.add(connection)
        connection.on_end = partial(self._ended, connection)
        self._release(connection)
        if self._waiting:
            self._open_more()

    def _cannot_open(self, error: CampaignError) -> None:
        if isinstance(error, TransientError) and self._open:
            self._quota.failed(open_now=self.open, spoke=error.reply is not None)
            return
        if not isinstance(error, TransientError):
            self._refusal = error  # the server would refuse another login too, and might lock the account
        while (free := self._next_waiting()) is not None:
            free.set_exception(error)
