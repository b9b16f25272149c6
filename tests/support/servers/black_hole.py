"""A port that neither takes nor refuses a connection, as behind a broken route: `black_hole`."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def black_hole(host: str, port: int = 0) -> Iterator[int]:
    """Yield the port of a loopback address that answers no client: its queue is full.

    Raises:
        OSError: the machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.create_server((host, port), family=family, backlog=0)) as listening, ExitStack() as crowd:
        for _ in range(2):
            waiting = crowd.enter_context(closing(socket.socket(family)))
            waiting.settimeout(0)
            waiting.connect_ex(listening.getsockname())
        yield int(listening.getsockname()[1])
