"""What is known of the runs that share a log: `WorkerState`, as `workers_of` in `backends.py` returns them."""

from __future__ import annotations

from typing import NamedTuple


class WorkerState(NamedTuple):
    """A run that sends now, or that was not heard of since its lease began. All times are the database's."""

    id: int
    campaign: str
    host: str
    pid: int
    #: The version of its program.
    version: str
    #: Seconds since the epoch.
    started_at: float
    #: For how long nothing was heard of it (seconds).
    silent_s: float
    #: How long its lease lasts yet (seconds); below 0 it has run out, and the next run recovers its rows.
    lease_left_s: float
    #: It claims no more rows and ends when those under way are done.
    is_draining: bool
    #: The rows that it has claimed and not begun, that wait for a token, and whose message may be out.
    queued: int
    issuing: int
    sending: int

    @property
    def is_late(self) -> bool:
        """Whether its lease has run out."""
        return self.lease_left_s < 0
