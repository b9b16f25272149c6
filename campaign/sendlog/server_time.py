"""Let clocks show the time of the log's server, which all machines that share the log then have: `follow`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.clock import ServerClock

if TYPE_CHECKING:
    from campaign.clock import Clock
    from campaign.sendlog.database import LogConnection

#: How often the server is asked at first: the first answer of a new session comes late.
_QUESTIONS = 3


def follow(clock: Clock, connection: LogConnection, *, questions: int = _QUESTIONS) -> None:
    """Set a `ServerClock` by the time of the log's server; do nothing for other clocks, and for logs in files.

    Raises:
        Exception: the errors of the connection's library.
    """
    if not isinstance(clock, ServerClock) or connection.server_time() is None:
        return
    for _ in range(questions):
        clock.measure(lambda: connection.server_time() or 0.0)
