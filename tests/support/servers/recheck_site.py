"""Run the site's own recheck endpoint, with answers and faults that a test may change at any time: `RecheckSite`."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from support.servers.background import Background
from support.servers.record import Record
from support.servers.stream_service import StreamService

if TYPE_CHECKING:
    from collections.abc import Mapping

RECHECK_KEY = "recheck-key-of-the-tests-0123456789"


class RecheckService(StreamService):
    """The endpoint in a running event loop."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record
        #: The keys that stand, each with its variables; None: all of them, without variables.
        self.standing: Mapping[str, Mapping[str, Any]] | None = None
        #: The next answers: a status line, `silence`, or the literal body of a 200.
        self.faults: list[str] = []
        #: How long each answer takes (seconds).
        self.latency = 0.0
        self.busy = self.most_busy = 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other."""
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
            self.busy += 1
            self.most_busy = max(self.busy, self.most_busy)
            try:
                await asyncio.sleep(self.latency)
                await self._answer(lines[0], headers, body, reader, writer)
            finally:
                self.busy -= 1

    async def _answer(
        self,
        request: str,
        headers: Mapping[str, str],
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        expected = hmac.new(RECHECK_KEY.encode(), body, hashlib.sha256).hexdigest()
        signed = hmac.compare_digest(headers.get("x-campaign-signature", ""), expected)
        asked = json.loads(body)
        self.record.write("request", request=request, signed=signed, **asked)
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "silence":
            await reader.read()
            raise ConnectionError
        status, more, answer = "200 OK", "", fault.encode()
        if fault[:3].isdigit():
            status, _, location = fault.partition(" -> ")
            more, answer = f"Location: {location}\r\n" if location else "", b"no"
        elif not signed:
            status, answer = "401 Unauthorized", b"no"
        elif not fault:
            standing = self.standing
            keys = {key: {} if standing is None else standing[key] for key in asked["keys"] if _stands(standing, key)}
            answer = json.dumps({"keys": keys}).encode()
        head = f"HTTP/1.1 {status}\r\n{more}Content-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        writer.write(head.encode() + answer)
        await writer.drain()


def _stands(standing: Mapping[str, object] | None, key: str) -> bool:
    return standing is None or key in standing


class RecheckSite(Background):
    """The endpoint in a thread: `with RecheckSite() as site: site.url`."""

    def __init__(self) -> None:
        log = Record(None, server="recheck")
        self.recheck = RecheckService(log)
        super().__init__(self.recheck, log)

    @property
    def url(self) -> str:
        """The value for `[recheck] url`."""
        return f"http://127.0.0.1:{self.port}/campaign/still-open"

    @property
    def asked(self) -> list[tuple[str, ...]]:
        """The keys of each request."""
        return [tuple(event["keys"]) for event in self.events("request")]
