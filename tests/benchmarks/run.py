"""Measure the program against its peers and print a table of figures, ratios and targets.

    python tests/benchmarks/run.py [NAME …] [--quick]

Run it with the Python in whose environment the program is installed. Without a NAME all benchmarks run, which
takes about 20 minutes on two cores; do not use the machine meanwhile. Missing tools are installed: Debian's
`postfix` for `smtp-sink` and `smtp-source`, and npm's `nodemailer` and `juice`. The npm packages, the CSVs and the
send logs are in `$XDG_CACHE_HOME/campaign-benchmarks`, since the cost of a durable log depends on the disk.

NAME        what runs
throughput  a whole run on loopback; nodemailer, smtp-source -d, aiosmtplib
style       the same with a <style>; nodemailer with juice
roundtrip   the same with a round trip of 20 ms in between
tokens      one token per mail and no limits; a bare httpx loop
rate        100/second and 14/second, for a minute each
clerk       Clerk's 1000 requests per 10 seconds, enforced over a sliding window, with real latencies
dkim        signed mails, on one core; nodemailer with its own DKIM
million     1,000,000 recipients: memory, rate, `status`, a resume
enlist      10,000,000 rows enlisted in PostgreSQL: time, memory, the server's CPU
postgres    the send log in PostgreSQL beside the one in SQLite
workers     two runs that share a log in PostgreSQL against one, beside the mail server and 20 ms away from it
shared      100/second and 14/second of four runs with a log in PostgreSQL, for a minute each
help        campaign --help

Every figure is that of a whole process, including its start and end. Rates are medians of alternating rounds, and
a ratio is the median of the rounds' ratios. All mail goes to `smtp-sink`, and a benchmark fails unless it counted
exactly the messages of each sender; only `rate` uses a server that records the time of each message.

Exit with 0 if all targets were reached, and with 1 otherwise.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from cases.dkim import dkim
from cases.enlist import enlist
from cases.million import million
from cases.pace import rate
from cases.postgres import postgres
from cases.shared import shared
from cases.startup import startup
from cases.throughput import roundtrip, style, throughput
from cases.tokens import clerk, tokens
from cases.workers import workers
from harness import install, machine
from harness.bench import Bench, Line, say
from harness.child import BenchmarkError
from harness.table import render

if TYPE_CHECKING:
    from collections.abc import Callable

#: The largest share of the machine that may be in use before a benchmark.
_QUIET = 0.05

_CASES: dict[str, Callable[[Bench], list[Line]]] = {
    "throughput": throughput,
    "style": style,
    "roundtrip": roundtrip,
    "tokens": tokens,
    "rate": rate,
    "clerk": clerk,
    "dkim": dkim,
    "million": million,
    "enlist": enlist,
    "postgres": postgres,
    "workers": workers,
    "shared": shared,
    "help": startup,
}


# "\b" keeps click from wrapping a paragraph anew.
@click.command(help=(__doc__ or "").replace("\n\n", "\n\n\b\n"))
@click.argument("names", metavar="[NAME …]", nargs=-1, type=click.Choice(list(_CASES)))
@click.option("--quick", is_flag=True, help="Small counts, one round: shows that it works, not what it reaches.")
def main(names: tuple[str, ...], *, quick: bool) -> None:
    cache = install.cache_folder()
    here = machine.describe(cache)
    lines: dict[str, list[Line]] = {}
    for name in names or _CASES:
        say(f"{name}:")
        if (busy := machine.busy()) > _QUIET:
            say(f"  something else uses {busy:.0%} of this machine: the figures will be worse than they could be")
        began = time.monotonic()
        lines[name] = _run(name, cache, quick=quick)
        say(f"  took {time.monotonic() - began:.0f} s")
    click.echo(f"\n{here}{', quick' if quick else ''}\n\n{render(lines)}")
    sys.exit(any(line.reached is False for found in lines.values() for line in found))


def _run(name: str, cache: Path, *, quick: bool) -> list[Line]:
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=cache))
    try:
        return _CASES[name](Bench(folder, quick))
    except BenchmarkError as error:
        say(f"  {error}")
        return [Line("not measured", str(error), reached=False)]
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
