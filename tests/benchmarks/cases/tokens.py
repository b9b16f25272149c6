"""One token per mail: against a bare httpx loop without limits, and at Clerk's rate limit."""

from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING

from harness import peers
from harness.bench import Line, say
from harness.contest import Entrant, contest, versus
from harness.program import Campaign
from harness.service import running
from harness.windows import fullest, share

if TYPE_CHECKING:
    from pathlib import Path

    from harness.bench import Bench
    from harness.sink import Sink

_NO_LIMIT = {"tokens": "100000/second"}
#: httpx is fastest with few connections, so one loop always uses this number.
_FEW = 10
#: The target in tokens per second without limits.
_LEAST = 400
#: Clerk's limit for a production key.
_LIMIT, _PERIOD = 1000, 10.0
_CLERK_EACH_WAY, _SMTP_EACH_WAY = 0.075, 0.05


def tokens(bench: Bench) -> list[Line]:
    """A whole `campaign run` with a token each against a bare httpx loop that only asks for the tokens.

    One loop uses as many connections as the program had open at most, another one uses 10, and the faster one is the
    peer. With `verify_address` the program also looks up the users (100 per request), which the loops do not.
    """
    count = bench.pick(5_000, 500)
    everybody = bench.recipients(count)
    with bench.sink() as sink:
        same = _concurrency(bench, sink, everybody)
        say(f"  the program had {same} connections to the token server open at once")
        loops = {f"httpx loop, {number} connections": number for number in (same, _FEW)}
        with running("token_server.py") as server:
            mints = Campaign(bench.folder / "mints", smtp=sink.port, clerk=server.port, limits=_NO_LIMIT, verify=False)
            verifies = Campaign(bench.folder / "verifies", smtp=sink.port, clerk=server.port, limits=_NO_LIMIT)
            reached = contest(
                sink,
                bench.pick(3, 1),
                [
                    Entrant("campaign", count, lambda: mints.run(everybody)),
                    *(
                        Entrant(name, count, partial(peers.httpx_loop, server.port, everybody, number), mails=False)
                        for name, number in loops.items()
                    ),
                    Entrant("campaign, verify_address", count, lambda: verifies.run(everybody)),
                ],
            )
    peer = max(loops, key=lambda name: max(reached[name]))
    rate = statistics.median(reached["campaign"])
    return [
        Line(f"{count:,} tokens and messages", f"{rate:,.0f}/s", wanted="≥ 400/s", reached=rate >= _LEAST),
        versus("the same beside httpx", reached["campaign"], peer, reached[peer], None),
        versus("the same with verify_address", reached["campaign, verify_address"], peer, reached[peer], None),
    ]


def _concurrency(bench: Bench, sink: Sink, recipients: Path) -> int:
    """Return the largest number of connections that the program had open to the token server."""
    with running("token_server.py") as server:
        Campaign(bench.folder / "first", smtp=sink.port, clerk=server.port, limits=_NO_LIMIT).run(recipients)
    return int(server.record["peak_connections"])


def clerk(bench: Bench) -> list[Line]:
    """Measure Clerk's limit of 1000 requests per 10 seconds, which the token server enforces over a sliding window.

    Clerk answers after 150 ms and the mail server after 100 ms, so that a message takes 200 ms: envelope and body.
    """
    seconds = bench.pick(60, 20)
    # A tenth more than the time needs, so that the end of the run is not measured.
    count = int(_LIMIT / _PERIOD * seconds * 1.1)
    everybody = bench.recipients(count)
    with (
        bench.sink() as sink,
        running("token_server.py", "--limit", _LIMIT, "--period", _PERIOD) as server,
        running("delay_proxy.py", "--to", server.port, "--delay", _CLERK_EACH_WAY) as to_clerk,
        running("delay_proxy.py", "--to", sink.port, "--delay", _SMTP_EACH_WAY) as to_smtp,
    ):
        campaign = Campaign(bench.folder / "campaign", smtp=to_smtp.port, clerk=to_clerk.port, connections=40)
        with sink.expecting(count):
            usage = campaign.run(everybody)
    record = server.record
    used = share(record["stamps"], _LIMIT / _PERIOD, seconds)
    core = usage.cpu_seconds / usage.seconds
    say(f"  requests: {record['kinds']}; fullest window {fullest(record['stamps'], _PERIOD)} of {_LIMIT}")
    what = f"Clerk's limit for {seconds} s, Clerk 150 ms and SMTP 200 ms away"
    return [
        Line(f"{what}: used", f"{used:.2%}", wanted="≥ 98 %", reached=used >= 0.98),
        Line(f"{what}: answered 429", str(record["refused"]), wanted="0", reached=record["refused"] == 0),
        Line(f"{what}: of one core", f"{core:.1%}", wanted="≤ 33 %", reached=core <= 1 / 3),
    ]
