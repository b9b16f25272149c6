"""Ten million rows enlisted in PostgreSQL: the time, the memory of the program and the CPU time of the server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.bench import Line, say
from harness.child import BenchmarkError
from harness.program import Campaign
from harness.service import running

if TYPE_CHECKING:
    from pathlib import Path

    from harness.bench import Bench

_MOST, _FEW = 10_000_000, 100_000
_PEAK_MB = 150
#: A port without a mail server: no mail is due, so that a run ends when the CSV is enlisted.
_NO_SERVER = 9
_LATER = '\n[schedule]\ndue = "due"\ndefault_zone = "UTC"\n'
_DUE = "2099-01-01T00:00:00Z"


def enlist(bench: Bench) -> list[Line]:
    """Enlist a CSV whose mails are due in decades."""
    return measure(bench, bench.pick(_MOST, _FEW))


def measure(bench: Bench, count: int) -> list[Line]:
    """Enlist `count` rows by `campaign run`, into an empty log; the server has durable commits.

    Raises:
        BenchmarkError: not every row is queued then.
    """
    everybody = _with_due(bench.recipients(count))
    campaign = Campaign(bench.folder / "later", smtp=_NO_SERVER)
    with campaign.file.open("a", encoding="utf-8") as file:
        file.write(_LATER)
    with running("postgres_server.py", "--logs", 1) as server:
        log = server.said["urls"][0]
        usage = campaign.resume(everybody, log=log)
        queued = json.loads(campaign.status(log=log).output)["queued"]
    if queued != count:
        raise BenchmarkError(f"{queued:,} of {count:,} rows are queued")
    rate, database = count / usage.seconds, server.record["cpu_seconds"]
    say(
        f"  {count:,} rows: {usage.seconds:.1f} s, {rate:,.0f}/s; CPU: {usage.cpu_seconds:.1f} s of the program, "
        f"{database:.1f} s of the server; peak {usage.peak_mb:.0f} MB"
    )
    what = f"{count:,} rows enlisted in PostgreSQL"
    return [
        Line(what, f"{usage.seconds:.1f} s, {rate:,.0f}/s"),
        Line(
            f"{what}: peak memory",
            f"{usage.peak_mb:.0f} MB",
            wanted=f"< {_PEAK_MB} MB",
            reached=usage.peak_mb < _PEAK_MB,
        ),
        Line(f"{what}: CPU", f"{usage.cpu_seconds:.1f} s", peer=f"PostgreSQL {database:.1f} s"),
    ]


def _with_due(recipients: Path) -> Path:
    """Return the CSV with a column more, the time at which each mail is due."""
    path = recipients.with_name(f"due-{recipients.name}")
    with recipients.open(encoding="utf-8") as lines, path.open("w", encoding="utf-8") as file:
        file.write(f"{next(lines).rstrip()},due\n")
        file.writelines(f"{line.rstrip()},{_DUE}\n" for line in lines)
    recipients.unlink()
    return path
