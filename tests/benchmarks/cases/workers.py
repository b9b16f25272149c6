"""Two runs that share a log in PostgreSQL against one: when a second one helps, and when it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.child import Usage
from harness.contest import Entrant, contest, versus
from harness.program import Campaign
from harness.service import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.bench import Bench, Line
    from harness.sink import Sink

#: What two runs are to reach that one limits by its own work.
_WANTED = 1.6
#: One way of the round trip to a mail server that is far away (seconds).
_EACH_WAY = 0.01


def workers(bench: Bench) -> list[Line]:
    """Compare one run and two of them, without limits: beside the receiver, and 20 ms away from it.

    The receiver, the server and the runs have the same cores. A run uses one core for itself, and the server about half
    of one for it.
    """
    count, few = bench.pick(40_000, 2_000), bench.pick(10_000, 500)
    everybody, some = bench.recipients(count), bench.recipients(few)
    with bench.sink() as sink, running("delay_proxy.py", "--to", sink.port, "--delay", _EACH_WAY) as wire:
        return [
            *_compare(bench, f"{count:,} recipients, no link", everybody, count, sink=sink, smtp=sink.port),
            *_compare(bench, f"{few:,} recipients, round trip 20 ms", some, few, sink=sink, smtp=wire.port),
        ]


def _compare(bench: Bench, what: str, recipients: Path, count: int, *, sink: Sink, smtp: int) -> Iterator[Line]:
    rounds = bench.pick(3, 1)
    with running("postgres_server.py", "--logs", 2 * rounds) as server:
        logs = iter(server.said["urls"])
        campaign = Campaign(bench.folder / what, smtp=smtp, verify=False)

        def together(number: int) -> Usage:
            log = next(logs)
            used = [child.wait() for child in [campaign.start(recipients, log=log) for _ in range(number)]]
            return Usage(
                max(each.seconds for each in used),
                sum(each.cpu_seconds for each in used),
                max(each.peak_mb for each in used),
                "",
            )

        entrants = [Entrant("two runs", count, lambda: together(2)), Entrant("one run", count, lambda: together(1))]
        reached = contest(sink, rounds, entrants)
    yield versus(f"{what}, two runs", reached["two runs"], "one run", reached["one run"], _WANTED)
