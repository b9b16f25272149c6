"""The shop's endpoint that says which carts are still open, and its faults: `Shop`."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

#: What the endpoint answers when it fails: each must count as doubt.
FAULTS: dict[str, Callable[[list[str]], tuple[int, bytes]]] = {
    "an error": lambda _: (500, b"sorry"),
    "a page": lambda _: (200, b"<!doctype html><title>Shop</title>"),
    "keys that nobody asked for": lambda keys: (200, json.dumps({"keys": {each + "-0": {} for each in keys}}).encode()),
    "a list": lambda keys: (200, json.dumps({"keys": keys}).encode()),
    "a redirect": lambda _: (302, b""),
}


class Shop:
    """The endpoint on a port of 127.0.0.1; `is_open` says of a key whether its cart is still open."""

    def __init__(self, secret: str, is_open: Callable[[str], bool]) -> None:
        self._secret = secret.encode()
        self.is_open = is_open
        #: The fault that it has at present; empty: none.
        self.fault = ""
        #: What was wrong with the requests.
        self.complaints: list[str] = []
        self.asked = 0
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = shop.answer(body, self.headers.get("X-Campaign-Signature") or "")
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", self.path + "/elsewhere")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """The endpoint's URL."""
        return f"http://127.0.0.1:{self._server.server_port}/still-open"

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, body: bytes, signature: str) -> tuple[int, bytes]:
        """Return the status and the body of the answer to one request."""
        self.asked += 1
        expected = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        asked = json.loads(body)
        if not hmac.compare_digest(expected, signature):
            self.complaints.append(f"the signature {signature!r} is wrong")
            return 401, b""
        if set(asked) != {"campaign", "step", "keys"} or not asked["keys"]:
            self.complaints.append(f"the request is {asked}")
            return 400, b""
        if self.fault:
            return FAULTS[self.fault](asked["keys"])
        still = {key: {} for key in asked["keys"] if self.is_open(key)}
        return 200, json.dumps({"keys": still}).encode()
