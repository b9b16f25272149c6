"""Run a web server with a few pages, with or without TLS, that records each request: `PageServer`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from support.servers.background import Background
from support.servers.certificates import identity
from support.servers.record import Record
from support.servers.stream_service import StreamService

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from support.servers.certificates import Certificate


class PageService(StreamService):
    """A web server in a running event loop."""

    def __init__(self, pages: Mapping[str, str], certificate: Certificate | None, record: Record) -> None:
        super().__init__(identity(certificate).context if certificate else None)
        self._pages = pages
        self._record = record

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        length = re.search(r"^content-length: *(\d+)\r$", head, re.IGNORECASE | re.MULTILINE)
        body = (await reader.readexactly(int(length[1]))).decode("latin-1") if length else ""
        self._record.write("request", method=method, target=target, head=head, body=body)
        path = target.partition("?")[0]
        # the last segment of an unsubscribe link is its token
        answer = self._pages.get(path) or self._pages.get(path.rpartition("/")[0], "200 OK")
        if answer == "silence":
            await reader.read()
            return
        status, _, location = answer.partition(" -> ")
        more = f"Location: {location}\r\n" if location else ""
        writer.write(f"HTTP/1.1 {status}\r\n{more}Content-Length: 2\r\nConnection: close\r\n\r\nOK".encode())
        await writer.drain()


class PageServer(Background):
    """A web server in a thread: `with PageServer({"/gone": "404 Not Found"}) as server: server.url`.

    Args:
        pages: the status line of each path, as `302 Found -> https://…`, or `silence`; a path below one of these
            answers the same, and every other one 200.
        certificate: of the TLS; None for http.
    """

    def __init__(self, pages: Mapping[str, str] | None = None, *, certificate: Certificate | None = None) -> None:
        log = Record(None, server="page")
        self._scheme = "https" if certificate else "http"
        self._certificate = certificate
        super().__init__(PageService(pages or {}, certificate, log), log)

    @property
    def url(self) -> str:
        """The origin."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def authority(self) -> bytes:
        """The certificate authority to trust, as PEM."""
        assert self._certificate is not None
        return identity(self._certificate).authority
