"""A TCP proxy before PostgreSQL that loses what it should not: `DatabaseProxy`, in threads of its own."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

#: How often the threads look whether they are to end (seconds).
_GLANCE_S = 0.02
#: How long the answer to a request that is lost is waited for (seconds).
_ANSWER_S = 0.5
_CHUNK = 65536
#: The last statement of each transaction, as the client sends it; a BEGIN may have READ COMMITTED.
_COMMIT = b"COMMIT\0"


class DatabaseProxy:
    """Forwards connections to a server on 127.0.0.1, from a port of its own.

    Args:
        port: the server's.
    """

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_GLANCE_S)
        #: The proxy's own port.
        self.port: int = self._listener.getsockname()[1]
        self._stopping = threading.Event()
        self._cut = threading.Event()
        self._held = threading.Event()
        self._at_commit: Callable[[bytes], bytes | None] | None = None
        self._after: bytes | None = None
        #: How many requests pass until one is lost; None: all pass.
        self._left: int | None = None
        self._is_answered = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        #: How many connections were lost.
        self.lost = 0

    def __enter__(self) -> Self:
        """Begin to accept connections."""
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        """End all connections."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def lose_commit(self, *, answered: bool, after: bytes | None = None) -> None:
        """End the connection of the next COMMIT: before it reaches the server or, `answered`, after its answer did.

        Args:
            answered: whether the server gets it.
            after: only once a client has sent this text.
        """
        self._after = after
        self._at_commit = (lambda data: data) if answered else (lambda _: None)

    def lose_request(self, number: int, *, answered: bool) -> None:
        """End the connection of a request: before it reaches the server or, `answered`, after its answer did.

        Args:
            number: which one from now on, of all connections; 1 is the next.
            answered: whether the server gets it.
        """
        self._left, self._is_answered, self.lost = number, answered, 0

    def cut(self) -> None:
        """End all connections and refuse new ones, until `join`."""
        self._cut.set()

    def hold(self) -> None:
        """Forward nothing more, and let nobody notice, until `join`."""
        self._held.set()

    def join(self) -> None:
        """Forward again, and lose no request."""
        self._left = None
        self._cut.clear()
        self._held.clear()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                if self._cut.is_set():
                    client.close()
                    continue
                thread = threading.Thread(target=self._forward, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _forward(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        with client, server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            with suppress(OSError):
                while not self._stopping.is_set() and not self._cut.is_set():
                    if self._held.is_set():
                        self._stopping.wait(_GLANCE_S)
                        continue
                    for key, _ in selector.select(_GLANCE_S):
                        source, target = key.fileobj, key.data
                        assert isinstance(source, socket.socket)
                        data = source.recv(_CHUNK)
                        if not data or not self._passes(data, server, is_request=source is client):
                            return
                        target.sendall(data)
        self.lost += 1

    def _passes(self, data: bytes, server: socket.socket, *, is_request: bool) -> bool:
        """Return whether to forward data; False ends the connection."""
        if is_request and self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._left = None
                if self._is_answered:
                    server.settimeout(_ANSWER_S)
                    with suppress(TimeoutError):  # it may be a part of a request, which has no answer
                        server.sendall(data)
                        server.recv(_CHUNK)
                self.lost += 1
                return False
        if is_request and self._after and self._after in data:
            self._after = None
        if not (is_request and self._at_commit and self._after is None and _COMMIT in data):
            return True
        forwarded, self._at_commit = self._at_commit(data), None
        if forwarded:
            server.sendall(forwarded)
            server.recv(_CHUNK)  # the answer, so that the transaction is committed
        self.lost += 1
        return False
