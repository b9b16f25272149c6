"""Share rates and pauses with the other workers of a send log in PostgreSQL: `PostgresRates.reserve`, `.holds`."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import AsyncConnection
from psycopg.types.numeric import Int8Dumper

from campaign.errors import SendLogError
from campaign.sendlog.permits import Hold, HoldKind, PermitGrant
from campaign.sendlog.postgres.faults import advice, reason_of
from campaign.sendlog.postgres.session import session_parameters
from campaign.sendlog.postgres.statements import RATES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from campaign.config.postgres_url import PostgresUrl
    from campaign.sendlog.permits import PermitRequest

#: After so many seconds without an answer the network is cut: a new connection is tried.
_ANSWER_TIMEOUT_S = 10.0


class PostgresRates:
    """`PermitExchange` in PostgreSQL: one connection to reserve, one that listens.

    Args:
        url: the database.
        worker: tells this worker from all others.
    """

    def __init__(self, url: PostgresUrl, worker: str) -> None:
        self._url = url
        self._worker = worker
        self._connection: AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()

    async def reserve(self, request: PermitRequest) -> PermitGrant:
        """Report what became of permits, and reserve more, in one statement."""
        terms = request.terms
        arguments = {
            "bucket": terms.bucket,
            "worker": self._worker,
            "wanted": request.wanted,
            "used_numbers": [number for number, _ in request.used],
            "used_at": [at for _, at in request.used],
            "unused": None if request.gives_all_back else list(request.unused),
            "counts": [window.count for window in terms.even],
            "periods": [window.period_s for window in terms.even],
            "budget_counts": [window.count for window in terms.budgets],
            "budget_periods": [window.period_s for window in terms.budgets],
            "horizon": terms.horizon_s,
            "late": terms.late_s,
            "catch_up": terms.catch_up_s,
            "state": terms.status,
            "domain": terms.domain,
            "since": terms.since,
        }
        row = await self._ask(RATES.reserve_permits, arguments)
        now, numbers, slots, next_at, remaining, more_at, settled_at, sharers = row
        return PermitGrant(
            now=now,
            permits=sorted(zip(numbers, slots, strict=True), key=lambda each: each[1]),
            next_at=next_at,
            remaining=remaining,
            more_at=more_at,
            settled_at=settled_at,
            sharers=max(1, sharers),
        )

    async def tell(self, hold: Hold) -> None:
        """Tell the other workers."""
        arguments = {
            "kind": hold.kind,
            "service": hold.service,
            "seconds": hold.seconds,
            "why": hold.why,
            "worker": self._worker,
            "campaign": hold.campaign,
        }
        await self._ask(RATES.tell_workers, arguments)

    async def holds(self, connected: Callable[[], object]) -> AsyncIterator[Hold]:
        """Yield the pauses that are on, and then what other workers tell."""
        with self._translated():
            async with await self._connect() as connection:
                await connection.execute(RATES.listen)
                rows = await (await connection.execute(RATES.pauses)).fetchall()
                connected()
                for service, ends_at, why, now in rows:
                    yield Hold(HoldKind.PAUSE, service, why, ends_at - now)
                async for notice in connection.notifies():
                    told = json.loads(notice.payload)
                    if told["worker"] != self._worker:
                        kind = HoldKind(told["kind"])
                        yield Hold(kind, told["service"], told["why"], told["seconds"], told["campaign"])

    async def close(self) -> None:
        """Close the connection that reserves."""
        if self._connection is not None:
            await self._connection.close()

    async def _ask(self, statement: str, arguments: dict[str, object]) -> Any:  # noqa: ANN401 - the statement's columns
        async with self._turn:
            with self._translated():
                if self._connection is None or self._connection.closed:
                    self._connection = await self._connect()
                async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                    return await (await self._connection.execute(statement, arguments)).fetchone()

    async def _connect(self) -> AsyncConnection[Any]:
        connection = await AsyncConnection.connect(autocommit=True, **session_parameters(self._url))
        try:
            await connection.execute(RATES.begin_rates)
        except BaseException:
            await connection.close()
            raise
        # without it an int has the smallest type that holds it, and a statement is prepared anew for each type
        connection.adapters.register_dumper(int, Int8Dumper)
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise ConnectionError(f"the send log {self._url} does not answer") from None
        except psycopg.OperationalError as error:  # a server that is gone, restarts or is starting
            raise ConnectionError(f"the send log {self._url} cannot be reached ({reason_of(error)})") from error
        except psycopg.Error as error:
            raise SendLogError(
                f"the send log {self._url} can no longer be written ({reason_of(error)}); nothing more was sent. "
                f"{advice(error)}, then run the same command again"
            ) from error
