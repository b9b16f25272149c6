"""Run the scripted mail server, with its listening socket and connections: `SmtpServer`.

As a process: `python -m support.servers.smtp --record FILE [--script FILE] [--port N] [--sync]`. It prints a line of
JSON with the port once it listens, and ends when its standard input ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

from support.servers.background import Background, serve_as_process
from support.servers.certificates import identity
from support.servers.record import Record
from support.servers.script import Director
from support.servers.smtp_data import Reception
from support.servers.smtp_script import SmtpScript
from support.servers.smtp_session import Session
from support.servers.wire import GoneError, Wire

if TYPE_CHECKING:
    from pathlib import Path


class SmtpService:
    """A mail server in a running event loop."""

    def __init__(self, script: SmtpScript | None, record: Record) -> None:
        self._script = script or SmtpScript()
        self._record = record
        self._server: asyncio.Server | None = None
        self._sessions: dict[asyncio.Task[None], Wire] = {}
        self._open = 0
        self._count = 0
        self.errors: list[BaseException] = []
        self.facts: dict[str, str] = {}
        if self._script.tls != "none":
            self.facts["authority"] = identity(self._script.certificate).authority.decode()

    async def start(self, port: int) -> int:
        """Listen on 127.0.0.1 and return the port."""
        self._reception = Reception(self._script, Director(self._script.faults, seed=self._script.seed), self._record)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Wire(self._opened, self._closed, self._script.latency), "127.0.0.1", port, backlog=512
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close all connections, then return."""
        assert self._server is not None
        self._server.close()
        for task, wire in list(self._sessions.items()):
            task.cancel()
            wire.reset()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        await asyncio.sleep(0)
        await self._server.wait_closed()

    def _opened(self, wire: Wire) -> None:
        self._open += 1
        self._reception.open = self._open
        self._count += 1
        session = Session(self._script, self._reception, self._count)
        session.wire = wire
        self._record.write("open", connection=self._count, open=self._open)
        task = asyncio.get_running_loop().create_task(self._serve(session, self._open))
        self._sessions[task] = wire
        task.add_done_callback(self._ended)

    def _closed(self, _wire: Wire) -> None:
        self._open -= 1
        self._record.write("close", open=self._open)
        asyncio.get_running_loop().call_later(self._script.closing, self._count_open)

    def _count_open(self) -> None:
        self._reception.open = self._open

    def _ended(self, task: asyncio.Task[None]) -> None:
        wire = self._sessions.pop(task)
        wire.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)

    async def _serve(self, session: Session, open_connections: int) -> None:
        try:
            await session.run(open_connections)
        except (GoneError, ConnectionError):
            return


class SmtpServer(Background):
    """A mail server in a thread: `with SmtpServer(SmtpScript(…)) as server`."""

    def __init__(
        self,
        script: SmtpScript | None = None,
        *,
        record: Path | None = None,
        port: int = 0,
        sync: bool = False,
    ) -> None:
        log = Record(record, server="smtp", sync=sync)
        self.script = script or SmtpScript()
        super().__init__(SmtpService(self.script, log), log, port=port)

    @property
    def url(self) -> str:
        """The value for CAMPAIGN_SMTP_URL."""
        return smtp_url(self.script, self.port)

    @property
    def authority(self) -> bytes:
        """The certificate authority to trust, as PEM."""
        return identity(self.script.certificate).authority


def smtp_url(script: SmtpScript, port: int) -> str:
    """Return the URL of a mail server on 127.0.0.1, for CAMPAIGN_SMTP_URL."""
    login = "{}:{}@".format(*(quote(part, safe="") for part in script.credentials)) if script.credentials else ""
    if script.tls == "implicit":
        return f"smtps://{login}127.0.0.1:{port}"
    return f"smtp://{login}127.0.0.1:{port}{'' if script.tls == 'starttls' else '?tls=none'}"


if __name__ == "__main__":
    serve_as_process(SmtpService, "smtp")
