"""The send log in PostgreSQL beside the one in SQLite: the speed of a whole run, and the CPU time of both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.bench import Line, say
from harness.contest import Entrant, contest, versus
from harness.program import Campaign
from harness.service import running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harness.bench import Bench
    from harness.child import Usage

_NO_LIMIT = {"tokens": "100000/second"}
#: The least share of SQLite's speed.
_LEAST = 0.7


def postgres(bench: Bench) -> list[Line]:
    """A whole `campaign run` with each log, without a link and with a token each; no limits.

    The server runs on the same machine, with the settings that it is delivered with.
    """
    count, few = bench.pick(20_000, 2_000), bench.pick(5_000, 500)
    with running("token_server.py") as tokens:
        return [
            *_compare(bench, "no link", bench.recipients(count), count, clerk=None, limits={}),
            *_compare(bench, "a token each", bench.recipients(few), few, clerk=tokens.port, limits=_NO_LIMIT),
        ]


def _compare(
    bench: Bench, what: str, everybody: Path, count: int, *, clerk: int | None, limits: Mapping[str, str]
) -> Iterator[Line]:
    rounds, used = bench.pick(3, 1), 0.0
    with bench.sink() as sink, running("postgres_server.py", "--logs", rounds) as server:
        # in a folder of its own each: a campaign that has begun in a file is refused in a database
        here, there = (
            Campaign(bench.folder / f"{what}, {log}", smtp=sink.port, clerk=clerk, limits=limits, verify=False)
            for log in ("SQLite", "PostgreSQL")
        )
        logs = iter(server.said["urls"])

        def with_postgres() -> Usage:
            nonlocal used
            usage = there.resume(everybody, log=next(logs))
            used += usage.cpu_seconds
            return usage

        entrants = [
            Entrant("PostgreSQL", count, with_postgres),
            Entrant("SQLite", count, lambda: here.run(everybody)),
        ]
        reached = contest(sink, rounds, entrants)
    yield versus(
        f"{count:,} recipients, {what}, log in PostgreSQL", reached["PostgreSQL"], "SQLite", reached["SQLite"], _LEAST
    )
    thousands = rounds * count / 1000
    database = server.record["cpu_seconds"] / thousands
    say(f"  CPU for 1,000 messages: {used / thousands:.2f} s of the program, {database:.2f} s of the server")
    yield Line(f"{what}: CPU for 1,000 messages", f"{used / thousands:.2f} s", peer=f"PostgreSQL {database:.2f} s")
