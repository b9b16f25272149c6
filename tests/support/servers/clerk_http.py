"""Serve one HTTP/1.1 connection to the scripted Clerk, with all scripted faults: `HttpConnection`."""

from __future__ import annotations

import asyncio
import email.utils
import http
import json
import socket
import struct
import time
from typing import TYPE_CHECKING, cast

from support.servers.clerk_api import Request, Response
from support.servers.clerk_script import Answer, Change, Impostor, Truncate, Used
from support.servers.script import GLANCE_S, Delay, Drop, Endless, Raw, Reset, Silence, Trickle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.servers.clerk_api import Api
    from support.servers.clerk_script import ClerkScript
    from support.servers.record import Record
    from support.servers.script import Action, Director


class HttpConnection(asyncio.Protocol):
    """Answers one request after the other without a task per request, for thousands of requests per second."""

    def __init__(
        self,
        script: ClerkScript,
        api: Api,
        director: Director,
        record: Record,
        closed: Callable[[HttpConnection], None],
    ) -> None:
        self._script = script
        self._api = api
        self._director = director
        self._record = record
        self._closed = closed
        self._buffer = bytearray()
        self._busy = False
        self._paused = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Report the end of the connection to the server."""
        self._closed(self)

    def data_received(self, data: bytes) -> None:
        """Buffer the bytes, and answer complete requests."""
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        while not self._busy and (request := self._next()) is not None:
            self._handle(request)

    def _next(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        whole = end + 4 + int(headers.get("content-length", "0"))
        if len(self._buffer) < whole:
            return None
        body = bytes(self._buffer[end + 4 : whole])
        del self._buffer[:whole]
        return Request(method, target, headers, body)

    # -- one request -----------------------------------------------------------------------------------------

    def _handle(self, request: Request) -> None:
        stage, subject = self._api.stage(request), self._api.subject(request)
        action: Action | None = None
        usual = self._api.authorise(request) or self._api.allowance()
        if usual is None:
            action = self._director.choose("any", to=subject) or self._director.choose(stage, to=subject)
            if _does_the_work(action):
                if isinstance(action, Used):
                    self._api.use(request.target.rsplit("/", 2)[-2])
                usual = self._api.work(
                    request,
                    instead=action.user_id if isinstance(action, Impostor) else None,
                    lost=action is not None and not isinstance(action, Delay | Impostor | Used),
                )
        self._note(request, stage, subject, action, usual)
        late = self._script.latency + (action.seconds if isinstance(action, Delay) else 0.0)
        if late or self._must_wait(action):
            self._busy = True
            asyncio.get_running_loop().call_later(late, self._late, action, usual)
        else:
            self._finish(action, usual)

    def _note(self, request: Request, stage: str, subject: str, action: Action | None, usual: Response | None) -> None:
        status = action.status if isinstance(action, Answer) else usual.status if usual is not None else 0
        self._record.write(
            "request",
            method=request.method,
            path=request.target.partition("?")[0],
            stage=stage,
            user_id=subject,
            status=status,
            cookie=request.headers.get("cookie"),
            fault=type(action).__name__ if action is not None else None,
        )

    def _must_wait(self, action: Action | None) -> bool:
        return isinstance(action, Delay) and action.until is not None and not self._record.has_beside(action.until)

    def _late(self, action: Action | None, usual: Response | None) -> None:
        if self._must_wait(action):
            asyncio.get_running_loop().call_later(GLANCE_S, self._late, action, usual)
            return
        self._busy = False
        if not self.transport.is_closing():
            self._finish(action, usual)
            self._go_on()

    # -- one answer ------------------------------------------------------------------------------------------

    def _finish(self, action: Action | None, usual: Response | None) -> None:
        match action:
            case Drop():
                self.transport.close()
            case Reset():
                sock = self.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.transport.abort()
            case Silence():
                self._busy = True
                if action.seconds is not None:
                    asyncio.get_running_loop().call_later(action.seconds, self.transport.close)
            case Raw() | Endless() | Trickle():
                self._say_oddly(action)
            case Answer():
                self._say(action.status, action.body, _headers(action), action.content_type)
                if action.shut and action.retry_after is not None:
                    self._api.shut(action.retry_after)
            case _ if usual is not None:
                self._usually(action, usual)

    def pause_writing(self) -> None:
        """Pause writing: the client does not read."""
        self._paused = True

    def resume_writing(self) -> None:
        """Resume writing: the client reads again."""
        self._paused = False

    def _say_oddly(self, action: Raw | Endless | Trickle) -> None:
        match action:
            case Raw():
                self.transport.write(action.data.encode("latin-1"))
            case Endless():
                self._busy = True
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
                self._go_on_for_ever(action.line.encode("latin-1") * 1000)
            case Trickle():
                self._busy = True
                self._trickle(iter((action.text or "").encode("latin-1")), action.interval)

    def _go_on_for_ever(self, data: bytes) -> None:
        if not self.transport.is_closing():
            if not self._paused:
                self.transport.write(data)
            asyncio.get_running_loop().call_later(0.001, self._go_on_for_ever, data)

    def _trickle(self, octets: Iterator[int], interval: float) -> None:
        octet = next(octets, None)
        if octet is not None and not self.transport.is_closing():
            self.transport.write(bytes([octet]))
            asyncio.get_running_loop().call_later(interval, self._trickle, octets, interval)

    def _usually(self, action: Action | None, usual: Response) -> None:
        body = usual.body
        if isinstance(action, Change) and isinstance(body, dict):
            body = {
                **{name: one for name, one in body.items() if name not in action.without},
                **action.fields,
            }
        self._say(usual.status, body, usual.headers, "application/json", cut=isinstance(action, Truncate))

    def _say(
        self,
        status: int,
        body: object,
        headers: dict[str, str],
        content_type: str,
        *,
        cut: bool = False,
    ) -> None:
        payload = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        reason = http.HTTPStatus(status).phrase
        lines = [
            f"HTTP/1.1 {status} {reason}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(payload)}",
        ]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        sent = payload[: len(payload) // 2] if cut else payload
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + sent)
        if cut:
            self.transport.close()


def _does_the_work(action: Action | None) -> bool:
    match action:
        case None | Delay() | Truncate() | Change() | Impostor() | Used():
            return True
        case Answer() | Drop() | Reset() | Silence() | Raw() | Endless() | Trickle():
            return bool(action.done)
    raise TypeError(f"{type(action).__name__} is no way for Clerk to answer")


def _headers(answer: Answer) -> dict[str, str]:
    if answer.retry_after is None:
        return answer.headers
    if answer.as_date:
        value = email.utils.formatdate(time.time() + answer.retry_after, usegmt=True)
    else:
        value = f"{answer.retry_after:g}"
    return {**answer.headers, "Retry-After": value}
