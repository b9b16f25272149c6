"""No link and no limits: the speed of a whole run, on loopback and with a round trip of 20 ms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import peers
from harness.bench import Line, say
from harness.contest import Entrant, contest, versus
from harness.program import Campaign
from harness.service import running

if TYPE_CHECKING:
    from harness.bench import Bench

#: The bytes that `smtp-source` adds to its payload.
_HEADER = 113
_SAMPLE = 20
_EACH_WAY = 0.01


def throughput(bench: Bench) -> list[Line]:
    """A whole `campaign run` on loopback against nodemailer, `smtp-source -d` and plain aiosmtplib.

    aiosmtplib gets fewer recipients than the others, since its rate does not depend on their number.
    """
    count, few = bench.pick(20_000, 3_000), bench.pick(3_000, 500)
    everybody, some, templates = bench.recipients(count), bench.recipients(few), bench.templates()
    payload = _message_size(bench) - _HEADER
    with bench.sink() as sink:
        campaign = Campaign(bench.folder / "campaign", smtp=sink.port)
        reached = contest(
            sink,
            bench.pick(5, 1),
            [
                Entrant("campaign", count, lambda: campaign.run(everybody)),
                Entrant("nodemailer", count, lambda: peers.nodemailer(sink.port, everybody, templates)),
                Entrant("smtp-source -d", count, lambda: peers.smtp_source(sink.port, count, payload)),
                Entrant("aiosmtplib", few, lambda: peers.aiosmtplib(sink.port, some, templates)),
            ],
        )
    ours, what = reached["campaign"], f"{count:,} recipients, no limits"
    return [
        versus(what, ours, peer, reached[peer], least)
        for peer, least in (("nodemailer", 2), ("smtp-source -d", None), ("aiosmtplib", None))
    ]


def style(bench: Bench) -> list[Line]:
    """A whole `campaign run` with a `<style>` against nodemailer with juice, each inlining every message."""
    count = bench.pick(20_000, 1_000)
    everybody, templates = bench.recipients(count), bench.templates(style=True)
    with bench.sink() as sink:
        campaign = Campaign(bench.folder / "campaign", smtp=sink.port, style=True)
        reached = contest(
            sink,
            bench.pick(3, 1),
            [
                Entrant("campaign", count, lambda: campaign.run(everybody)),
                Entrant("juice", count, lambda: peers.nodemailer(sink.port, everybody, templates, style=True)),
            ],
        )
    what = f"{count:,} recipients, CSS inlined for each"
    return [versus(what, reached["campaign"], "nodemailer with juice", reached["juice"], 3)]


def roundtrip(bench: Bench) -> list[Line]:
    """A whole run with a round trip of 20 ms and 10 connections, against nodemailer and plain aiosmtplib."""
    count, few = bench.pick(10_000, 500), bench.pick(1_000, 200)
    everybody, some, templates = bench.recipients(count), bench.recipients(few), bench.templates()
    with bench.sink() as sink, running("delay_proxy.py", "--to", sink.port, "--delay", _EACH_WAY) as wire:
        campaign = Campaign(bench.folder / "campaign", smtp=wire.port)
        reached = contest(
            sink,
            bench.pick(2, 1),
            [
                Entrant("campaign", count, lambda: campaign.run(everybody)),
                Entrant("nodemailer", count, lambda: peers.nodemailer(wire.port, everybody, templates)),
                Entrant("aiosmtplib", few, lambda: peers.aiosmtplib(wire.port, some, templates)),
            ],
        )
    say(f"  at most {wire.record['peak_connections']} connections at once")
    ours, what = reached["campaign"], f"{count:,} recipients, round trip 20 ms"
    return [versus(what, ours, peer, reached[peer], least) for peer, least in (("nodemailer", 1), ("aiosmtplib", None))]


def _message_size(bench: Bench) -> int:
    """Return the mean size of the program's message in bytes, and print those of the peers."""
    few, templates = bench.recipients(_SAMPLE), bench.templates()
    with running("stamping_smtp.py") as ours:
        Campaign(bench.folder / "size", smtp=ours.port).run(few)
    with running("stamping_smtp.py") as theirs:
        peers.nodemailer(theirs.port, few, templates)
    size, other = (service.record["bytes"] // _SAMPLE for service in (ours, theirs))
    say(f"  a message has {size:,} bytes, nodemailer's {other:,}")
    return int(size)
