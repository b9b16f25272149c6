"""Run a PostgreSQL with durable commits and some empty send logs; its record is the CPU time that it used."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

#: The folder of `support`, which has the tests' PostgreSQL.
sys.path.insert(0, str(Path(__file__).parents[2]))

from support.servers.postgres import postgres


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--logs", type=int, required=True, help="how many send logs")
    logs = parser.parse_args().logs
    with postgres(is_durable=True) as server:
        urls = [server.fresh() for _ in range(logs)]
        processes = int((Path(server.folder) / "data/postmaster.pid").read_text("utf-8").split()[0])
        before = _cpu_seconds(processes)
        sys.stdout.write(json.dumps({"port": server.port, "urls": urls}) + "\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()
        record = {"cpu_seconds": _cpu_seconds(processes) - before}
    sys.stdout.write(json.dumps(record) + "\n")


def _cpu_seconds(postmaster: int) -> float:
    """Return the CPU time of the server's processes, those that have ended included (proc(5), times of children)."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8").rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        if int(stat.parent.name) == postmaster:
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == postmaster:
            total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
