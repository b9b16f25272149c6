"""Two runs that share a log in PostgreSQL against one: when a second one helps, and when it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.child import Usage
from harness.contest import Entrant, contest, versus
from harness.program import Campaign
from harness.service import running

if TYPE_CHECKING:
    from harness.bench import Bench, Line
    from harness.sink import Sink

_NO_LIMIT = {"tokens": "100000/second"}
#: What two runs are to reach that one limits by its own work.
_WANTED = 1.6
#: One way of the round trip to a mail server that is far away (seconds).
_EACH_WAY = 0.01


def workers(bench: Bench) -> list[Line]:
    """Compare one run and two of them, without limits: with a token each, far from the mail server, and with neither.

    The runs, the database, the mail server and the token server have the same cores. Without a token and without a
    distance one run leaves little of two cores: two runs are as much faster as the cores are not used by one.
    """
    count, few, some = bench.pick(40_000, 2_000), bench.pick(10_000, 500), bench.pick(5_000, 500)
    with (
        bench.sink() as sink,
        running("token_server.py") as clerk,
        running("delay_proxy.py", "--to", sink.port, "--delay", _EACH_WAY) as wire,
    ):
        return [
            _compare(bench, some, "a token each", sink, clerk=clerk.port, wanted=_WANTED),
            _compare(bench, few, "no link, round trip 20 ms", sink, smtp=wire.port, wanted=_WANTED),
            _compare(bench, count, "no link", sink),
        ]


def _compare(
    bench: Bench,
    count: int,
    what: str,
    sink: Sink,
    *,
    clerk: int | None = None,
    smtp: int | None = None,
    wanted: float | None = None,
) -> Line:
    rounds, recipients = bench.pick(3, 1), bench.recipients(count)
    limits = _NO_LIMIT if clerk else {}
    with running("postgres_server.py", "--logs", 2 * rounds) as server:
        logs = iter(server.said["urls"])
        campaign = Campaign(bench.folder / what, smtp=smtp or sink.port, clerk=clerk, limits=limits, verify=False)

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
    name = f"{count:,} recipients, {what}, two runs"
    return versus(name, reached["two runs"], "one run", reached["one run"], wanted)
