"""Measures the program against its peers and prints a table of figures, ratios and what is to be reached.

    python tests/benchmarks/run.py [NAME …] [--quick]

Run it with the interpreter into whose environment the program is installed. Without a NAME every benchmark runs,
which takes about 20 minutes on two cores; leave the machine alone meanwhile. What the benchmarks need besides
(Debian's `postfix` for `smtp-sink` and `smtp-source`, npm's `nodemailer` and `juice`) is installed if it is missing,
into `$XDG_CACHE_HOME/campaign-benchmarks` where it is npm's; the CSVs and the send logs are written there as well,
since what a durable log costs depends on the disk.

NAME        what runs
throughput  a whole run on loopback; nodemailer, smtp-source -d, aiosmtplib
style       the same with a <style>; nodemailer with juice
roundtrip   the same with a round trip of 20 ms in between
tokens      a token each and no limits; a bare httpx loop
rate        100/second and 14/second, held for a minute each
clerk       Clerk's 1000 requests per 10 seconds, enforced over a sliding window, with real latencies
dkim        mails signed here, on one core; nodemailer with its own DKIM
million     1,000,000 recipients: memory, rate, `status`, a resume
help        campaign --help

Every figure is that of a whole process, its start and end included; rates are medians of alternating rounds, a
ratio is the median of the rounds' ratios. All mail goes into `smtp-sink`, which must have counted exactly the
messages of each sender, or the benchmark fails; only `rate` uses a receiver that stamps each acceptance.

Exits with 0 if everything wanted was reached, else with 1.
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
from cases.million import million
from cases.pace import rate
from cases.startup import startup
from cases.throughput import roundtrip, style, throughput
from cases.tokens import clerk, tokens
from harness import install, machine
from harness.bench import Bench, Line, say
from harness.child import BenchmarkError
from harness.table import render

if TYPE_CHECKING:
    from collections.abc import Callable

#: As much of the machine may be in use before a benchmark.
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
