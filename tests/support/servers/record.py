"""Record what a server received and did, one JSON object per line, written before the server answers: `Record`."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class Record:
    """An append-only JSONL file, or a list in memory.

    Each event has the fields `event`, `server`, `t` (seconds of the machine's monotonic clock, the same for all
    processes) and `wall` (seconds since the epoch).
    """

    def __init__(self, path: Path | None, *, server: str, sync: bool = False) -> None:
        self._server = server
        self._sync = sync
        self._lock = threading.Lock()
        self._events: list[Event] | None = [] if path is None else None
        self._path = path
        self._file = (
            None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        )

    def write(self, event: str, **fields: object) -> None:
        """Write the event to the file (with `sync`, also to the disk), then return."""
        line: Event = {
            "event": event,
            "server": self._server,
            "t": time.monotonic(),
            "wall": time.time(),
            **fields,
        }
        if self._file is None:
            with self._lock:
                if self._events is not None:
                    self._events.append(line)
            return
        os.write(self._file, json.dumps(line).encode() + b"\n")
        if self._sync:
            os.fdatasync(self._file)

    def has_beside(self, name: str) -> bool:
        """Return whether there is a file of this name in the record's folder, or at this path."""
        return ((self._path.parent if self._path else Path()) / name).exists()

    def events(self, *names: str) -> list[Event]:
        """Return the events so far, in order; if names are given, only events with these names."""
        if self._path is not None:
            found = read(self._path)
        else:
            with self._lock:
                found = list(self._events or ())
        return [event for event in found if not names or event["event"] in names]

    def close(self) -> None:
        """Close the file; the events stay readable."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._events = None


def read(path: Path) -> list[Event]:
    """Return the events of a record."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
