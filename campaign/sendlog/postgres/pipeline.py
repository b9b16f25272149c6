"""Send statements together and read their results together: `StatementPipeline`, for the transactions of a run.

psycopg's own pipeline sends each statement as it comes and waits for the socket each time, which takes the thread that
writes the log half of its time. This one sends when a result is read: a handful of statements costs one round trip.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import OperationalError, error_from_result
from psycopg.generators import fetch_many, send
from psycopg.pq import ExecStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from psycopg import Connection
    from psycopg.abc import Buffer
    from psycopg.pq.abc import PGresult

_PARAMETER = re.compile(r"%\((\w+)\)s")
_DONE = {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}


class StatementResult:
    """The result of a statement: `LogCursor`. To read it is to send what was not sent, and to wait."""

    def __init__(self, pipeline: StatementPipeline) -> None:
        self._pipeline = pipeline
        self._rows: Iterator[Any] = iter(())
        self._rowcount = 0
        self._is_there = False

    def arrived(self, rowcount: int, rows: list[Any]) -> None:
        """Take the server's result."""
        self._is_there, self._rowcount, self._rows = True, rowcount, iter(rows)

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed or returned."""
        self._wait()
        return self._rowcount

    def fetchone(self) -> Any:  # noqa: ANN401 - the columns of the statement
        """Return the next row, or None."""
        self._wait()
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """Return the rows that were not fetched yet."""
        self._wait()
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that were not fetched yet."""
        self._wait()
        return self._rows

    def _wait(self) -> None:
        if not self._is_there:
            self._pipeline.send()


class _Statement(NamedTuple):
    """A statement as the server reads it: `$1` for `%(name)s`."""

    text: bytes
    #: The names of its parameters, by their numbers.
    names: tuple[str, ...]


class _Values(NamedTuple):
    """The parameters of a statement as libpq takes them."""

    texts: Sequence[Buffer | None]
    types: tuple[int, ...]
    formats: Sequence[int] | None


class StatementPipeline:
    """A queue of statements for one session. One with parameters is prepared when it is first executed.

    Args:
        connection: in autocommit mode. Between two calls of `send` it may be used as usual.
    """

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._transformer = Transformer(connection)
        #: The names of prepared statements, by the types of their parameters, too.
        self._prepared: dict[tuple[_Statement, tuple[int, ...]], bytes] = {}
        self._number = 0
        #: What is to be sent: a statement to prepare, or one to execute with its result's place.
        self._queue: list[tuple[str, Mapping[str, object], StatementResult]] = []
        self._depth = 0

    @property
    def is_open(self) -> bool:
        """Whether statements are collected now."""
        return self._depth > 0

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Collect the statements of the block; those that are left at its end are sent then.

        Raises:
            psycopg.Error: the first error of the statements; the server has skipped those after it.
        """
        self._depth += 1
        try:
            yield
            self.send()
        except BaseException:
            self._queue.clear()
            raise
        finally:
            self._depth -= 1

    def execute(self, statement: str, parameters: Mapping[str, object]) -> StatementResult:
        """Add a statement to the queue, and return the place of its result."""
        result = StatementResult(self)
        self._queue.append((statement, parameters, result))
        return result

    def send(self) -> None:
        """Send what is in the queue, and read all results.

        Raises:
            psycopg.Error: the first error of the statements; the server has skipped those after it.
        """
        queue, self._queue = self._queue, []
        if not queue:
            return
        server = self._connection.pgconn
        bound = [(_read(text), self._bind(_read(text), parameters)) for text, parameters, _ in queue]
        server.enter_pipeline_mode()
        try:
            expected = [
                place
                for (statement, values), (*_, result) in zip(bound, queue, strict=True)
                for place in ([None] * self._write(statement, values) + [result])
            ]
            server.pipeline_sync()
            self._connection.wait(send(server))
            self._receive(expected)
        except BaseException:
            self._prepared.clear()  # which of them the server knows is not known
            raise
        finally:
            with suppress(OperationalError):  # the connection is lost, as an error of the block says
                server.exit_pipeline_mode()

    def _bind(self, statement: _Statement, parameters: Mapping[str, object]) -> _Values:
        given = [parameters[name] for name in statement.names]
        values = self._transformer.dump_sequence(given, [PyFormat.AUTO] * len(given))
        return _Values(values, self._transformer.types or (), self._transformer.formats)

    def _write(self, statement: _Statement, values: _Values) -> bool:
        """Put a statement into the buffer of libpq; return whether its preparation went before it."""
        server, key = self._connection.pgconn, (statement, values.types)
        if not statement.names:
            server.send_query_params(statement.text, None)
            return False
        is_new = key not in self._prepared
        if is_new:
            self._number += 1
            self._prepared[key] = f"campaign_{self._number}".encode()
            server.send_prepare(self._prepared[key], statement.text, values.types)
        server.send_query_prepared(self._prepared[key], values.texts, values.formats)
        return is_new

    def _receive(self, expected: list[StatementResult | None]) -> None:
        """Read the results of statements that were sent, in their order, and the end of the pipeline."""
        failed = None
        for place in expected:
            (result,) = self._connection.wait(fetch_many(self._connection.pgconn))
            if result.status in _DONE:
                if place:
                    place.arrived(result.command_tuples or 0, self._rows(result))
            elif failed is None:
                failed = error_from_result(result, encoding="utf-8")
        self._connection.wait(fetch_many(self._connection.pgconn))
        if failed:
            raise failed

    def _rows(self, result: PGresult) -> list[Any]:
        if not result.ntuples:
            return []
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)


@cache
def _read(statement: str) -> _Statement:
    names = tuple(dict.fromkeys(_PARAMETER.findall(statement)))
    return _Statement(_PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", statement).encode(), names)
