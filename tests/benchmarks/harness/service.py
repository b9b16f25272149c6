"""Start one of `servers/` in its own process, and return its record at the end."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.child import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVERS = Path(__file__).parent.parent / "servers"


class Service:
    """A running server; `record` is filled when it has stopped."""

    def __init__(self, said: dict[str, Any]) -> None:
        #: What it said when it had started.
        self.said = said
        self.port = int(said["port"])
        self.record: dict[str, Any] = {}


@contextmanager
def running(script: str, *arguments: object) -> Iterator[Service]:
    """Run `servers/<script>` for as long as the block lasts.

    Raises:
        BenchmarkError: it did not start.
    """
    command = [sys.executable, str(_SERVERS / script), *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        first = process.stdout.readline() if process.stdout else b""
        if not first:
            raise BenchmarkError(f"{script} did not start")
        service = Service(json.loads(first))
        yield service
    finally:
        record, _ = process.communicate()
    service.record = json.loads(record)
