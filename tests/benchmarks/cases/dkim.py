"""DKIM signing: the speed of a whole run on one core, with an RSA key of 2048 bits."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from harness import material, peers
from harness.bench import Line
from harness.child import BenchmarkError
from harness.contest import Entrant, contest, versus
from harness.machine import processors, using
from harness.program import Campaign

if TYPE_CHECKING:
    from harness.bench import Bench
    from harness.child import Usage

_LEAST = 2_500


def dkim(bench: Bench) -> list[Line]:
    """A whole `campaign run` with `[dkim]`, no link and no limits, against nodemailer with its own DKIM.

    Each sender has its own core and the sink another; at the end of each round the campaign runs again on both.
    nodemailer gets fewer recipients, since its rate does not depend on their number.

    Raises:
        BenchmarkError: the machine has only one core.
    """
    ours, *others = sorted(processors())
    if not others:
        raise BenchmarkError("the sink needs a core of its own, and this machine has one in all")
    count, few = bench.pick(20_000, 2_000), bench.pick(5_000, 500)
    everybody, some, templates = bench.recipients(count), bench.recipients(few), bench.templates()
    key = material.write_key(bench.folder / "dkim.pem")
    with using({others[0]}), bench.sink() as sink:
        campaign = Campaign(bench.folder / "campaign", smtp=sink.port, key=key)

        def pinned() -> Usage:
            with using({ours}):
                return campaign.run(everybody)

        def free() -> Usage:
            with using({ours, *others}):
                return campaign.run(everybody)

        def nodemailer() -> Usage:
            with using({ours}):
                return peers.nodemailer(sink.port, some, templates, key=key)

        reached = contest(
            sink,
            bench.pick(3, 1),
            [
                Entrant("campaign", count, pinned),
                Entrant("nodemailer", few, nodemailer),
                Entrant("campaign on all cores", count, free),
            ],
        )
    one, all_of_them = reached["campaign"], statistics.median(reached["campaign on all cores"])
    line = versus(f"{count:,} recipients, RSA-2048, one core", one, "nodemailer", reached["nodemailer"], None)
    return [
        Line(
            line.what,
            line.figure,
            peer=line.peer,
            ratio=line.ratio,
            wanted=f"≥ {_LEAST:,}/s",
            reached=statistics.median(one) >= _LEAST,
        ),
        Line("the same on all cores, the sink on one of them", f"{all_of_them:,.0f}/s"),
    ]
