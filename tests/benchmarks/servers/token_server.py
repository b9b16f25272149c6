"""A fast stand-in for the part of Clerk's Backend API that a run uses, with Clerk's request limit.

The limit applies to a *sliding* window, the stricter reading of "1000 requests per 10 seconds": a client that
keeps it keeps any fixed window as well. Every request counts, of any kind. A refused request gets 429 with
`Retry-After`, and until then the API refuses all requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import time
from array import array
from collections import Counter, deque
from typing import Any
from urllib.parse import parse_qs

from serve import serve

_TOO_MANY = json.dumps(
    {"errors": [{"message": "Too many requests", "long_message": "Too many requests", "code": "too_many_requests"}]}
)
_UNKNOWN = json.dumps({"errors": [{"message": "not found", "long_message": "not found", "code": "resource_not_found"}]})
_FAR = "f" * 180


class Window:
    """At most `limit` requests in any `period` seconds; 0 is no limit."""

    def __init__(self, limit: int, period: float) -> None:
        self._limit, self._period = limit, period
        self._recent: deque[float] = deque()
        self._shut_until = 0.0

    def refuses(self, now: float) -> int:
        """Count the request and return 0, or return the seconds after which to try again."""
        if not self._limit:
            return 0
        if now < self._shut_until:
            return max(1, math.ceil(self._shut_until - now))
        recent = self._recent
        while recent and recent[0] <= now - self._period:
            recent.popleft()
        if len(recent) < self._limit:
            recent.append(now)
            return 0
        seconds = max(1, math.ceil(recent[0] + self._period - now))
        self._shut_until = now + seconds
        return seconds


class Api:
    """The API's answers, and the record of the requests."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._stamps = array("d")
        self._kinds: Counter[str] = Counter()
        self._number = 0
        self.open = self.peak = self.refused = 0

    def answer(self, method: str, target: str, body: bytes) -> bytes:
        """Return the whole HTTP response."""
        now = time.monotonic()
        wait = self._window.refuses(now)
        if wait:
            self.refused += 1
            return _response("429 Too Many Requests", _TOO_MANY, f"Retry-After: {wait}\r\n")
        self._stamps.append(now)
        path, _, query = target.partition("?")
        path = path.removeprefix("/v1")
        if method == "POST" and path == "/sign_in_tokens":
            self._kinds["token"] += 1
            return _response("200 OK", self._token(json.loads(body)["user_id"]))
        if method == "POST" and path.endswith("/revoke"):
            self._kinds["revoke"] += 1
            return _response(
                "200 OK",
                json.dumps({"object": "sign_in_token", "id": path.split("/")[2], "status": "revoked"}),
            )
        if method == "GET" and path == "/users":
            self._kinds["users"] += 1
            return _response("200 OK", json.dumps([_user(name) for name in parse_qs(query).get("user_id", [])]))
        self._kinds["other"] += 1
        return _response("404 Not Found", _UNKNOWN)

    def record(self) -> dict[str, Any]:
        """Return the time of each allowed request (seconds, monotonic), and the counts."""
        return {
            "stamps": list(self._stamps),
            "refused": self.refused,
            "kinds": dict(self._kinds),
            "peak_connections": self.peak,
        }

    def _token(self, user: str) -> str:
        self._number += 1
        number = f"{self._number:08}"
        return (
            f'{{"object":"sign_in_token","id":"sit_{number}","status":"pending","user_id":{json.dumps(user)},'
            f'"token":"ey{number}{_FAR}","url":"https://clerk.example/v1/tickets/accept?ticket=ey{number}{_FAR}",'
            '"created_at":1767225600000,"updated_at":1767225600000}'
        )


def _user(name: str) -> dict[str, Any]:
    """Return the user whose number is in the id, with the address that `material` gives it."""
    number = int(name.rpartition("_")[2])
    address = f"user{number}@{('example.com', 'example.net', 'example.org')[number % 3]}"
    email = {"object": "email_address", "id": f"idn_{number}", "email_address": address, "linked_to": []}
    return {
        "object": "user",
        "id": name,
        "primary_email_address_id": f"idn_{number}",
        "email_addresses": [email | {"verification": {"status": "verified"}}],
        "banned": False,
        "locked": False,
    }


def _response(status: str, body: str, more: str = "") -> bytes:
    content = body.encode()
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n{more}\r\n"
    ).encode() + content


class Http(asyncio.Protocol):
    """A minimal HTTP/1.1 server for clients that keep connections open and send a Content-Length."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport of the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._api.open += 1
        self._api.peak = max(self._api.peak, self._api.open)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection."""
        self._api.open -= 1

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self._buffer += data
        while (head := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:head].decode("latin-1").split("\r\n")
            fields = dict(line.lower().split(":", 1) for line in lines[1:])
            end = head + 4 + int(fields.get("content-length", 0))
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[head + 4 : end])
            del self._buffer[:end]
            method, target, _ = lines[0].split(" ")
            assert self._transport is not None
            self._transport.write(self._api.answer(method, target, body))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int, default=0, help="requests in a window; 0 is none")
    parser.add_argument("--period", type=float, default=10.0, help="seconds of a window")
    given = parser.parse_args()
    api = Api(Window(given.limit, given.period))
    serve(lambda: Http(api), api.record)


if __name__ == "__main__":
    main()
