"""Stand between a client and a server, and cut the connection when a certain text passes: `CuttingProxy`."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

_SIZE = 65_536


class CuttingProxy:
    """Passes bytes on between each client and the server, in threads, until the text comes from a client.

    Args:
        port: the server's, on 127.0.0.1.
        text: is passed on, and then neither side hears of the other again.
    """

    def __init__(self, port: int, text: bytes) -> None:
        self._server = port
        self._text = text
        self._listener = socket.create_server(("127.0.0.1", 0))
        #: The port of the proxy.
        self.port = int(self._listener.getsockname()[1])
        #: Whether the text makes it cut; until then it passes.
        self.is_armed = False
        #: Set when the server has answered the text.
        self.was_cut = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take no more clients."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server)) as server:
            cut = threading.Event()
            answers = threading.Thread(target=self._pass_answers, args=(server, client, cut), daemon=True)
            answers.start()
            with suppress(OSError):
                while data := client.recv(_SIZE):
                    if self.is_armed and self._text in data:
                        cut.set()
                    server.sendall(data)
                server.shutdown(socket.SHUT_RDWR)
            answers.join()

    def _pass_answers(self, server: socket.socket, client: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while (data := server.recv(_SIZE)) and not cut.is_set():
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        if cut.is_set():
            self.was_cut.set()
