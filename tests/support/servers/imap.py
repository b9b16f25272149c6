"""Run a scripted IMAP server, which records each command: `ImapServer`.

It knows what a reader of a mailbox needs (RFC 3501): CAPABILITY, AUTHENTICATE PLAIN, LOGIN, EXAMINE, FETCH, UID FETCH,
LOGOUT. Any command that could change the mailbox is answered with BAD and recorded, too.
"""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from support.servers.background import Background
from support.servers.certificates import identity
from support.servers.record import Record
from support.servers.wire import GoneError, Wire

if TYPE_CHECKING:
    from support.servers.certificates import Certificate

#: What goes wrong, and when.
Fault = Literal[
    "",
    "refuse login",  # NO, quoting the login
    "close before login",
    "close at fetch",
    "bye at fetch",
    "delete at fetch",  # the mails vanish after their sizes were told
    "arrive at fetch",  # a new mail is announced amid the answers
    "endless literal",  # a mail is announced as longer than what was asked for
]


@dataclass(frozen=True)
class ImapScript:
    """What the server holds, and how it behaves."""

    mails: list[bytes] = field(default_factory=list)
    #: The name as it stands on the wire.
    mailbox: str = "INBOX"
    credentials: tuple[str, str] = ("bounces", "secret")
    #: Whether AUTHENTICATE PLAIN is offered; otherwise only LOGIN.
    sasl: bool = True
    tls: bool = False
    certificate: Certificate = "good"
    fault: Fault = ""


class ImapService:
    """An IMAP server in a running event loop."""

    def __init__(self, script: ImapScript, record: Record) -> None:
        self._script = script
        self._record = record
        self._sessions: dict[asyncio.Task[None], Wire] = {}
        self.errors: list[BaseException] = []
        self.facts: dict[str, str] = {}

    async def start(self, port: int) -> int:
        """Listen on 127.0.0.1 and return the port."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Wire(self._opened, lambda _: None, 0),
            "127.0.0.1",
            port,
            ssl=identity(self._script.certificate).context if self._script.tls else None,
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close all connections, then return."""
        self._server.close()
        for task, wire in list(self._sessions.items()):
            task.cancel()
            wire.reset()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        await self._server.wait_closed()

    def _opened(self, wire: Wire) -> None:
        wire.tls = self._script.tls
        task = asyncio.get_running_loop().create_task(self._serve(wire))
        self._sessions[task] = wire
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._sessions.pop(task).close()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)

    async def _serve(self, wire: Wire) -> None:
        try:
            await _Session(self._script, self._record, wire).run()
        except (GoneError, ConnectionError):
            return


class _Session:
    """One connection."""

    def __init__(self, script: ImapScript, record: Record, wire: Wire) -> None:
        self._script = script
        self._record = record
        self._wire = wire

    async def run(self) -> None:
        await self._say("* OK ready")
        while True:
            tag, _, command = (await self._wire.line()).decode().strip().partition(" ")
            self._record.write("command", command=command)
            name, _, rest = command.partition(" ")
            match name.upper():
                case "CAPABILITY":
                    await self._say(f"* CAPABILITY IMAP4rev1{' AUTH=PLAIN' if self._script.sasl else ''}")
                    await self._say(f"{tag} OK done")
                case "AUTHENTICATE" if self._script.sasl:
                    await self._say("+ ")
                    said = (await self._wire.line()).strip()
                    login = tuple(base64.b64decode(said).decode().split("\0")[1:])
                    await self._answer_login(tag, login, said.decode())
                case "LOGIN":
                    user, password = rest.split(" ", 1)
                    await self._answer_login(tag, (user, password[1:-1].replace('\\"', '"')), rest)
                case "EXAMINE":
                    await self._examine(tag, rest)
                case "FETCH":
                    await self._fetch_sizes(tag, rest)
                case "UID":
                    await self._fetch_mail(tag, rest)
                case "LOGOUT":
                    await self._say("* BYE")
                    await self._say(f"{tag} OK done")
                    return
                case _:
                    await self._say(f"{tag} BAD this server is for reading only")

    async def _answer_login(self, tag: str, login: tuple[str, ...], said: str) -> None:
        if self._script.fault == "close before login":
            raise GoneError
        if login != self._script.credentials or self._script.fault == "refuse login":
            await self._say(f"{tag} NO [AUTHENTICATIONFAILED] wrong: {said} {' '.join(login)}")
        else:
            await self._say(f"{tag} OK logged in")

    async def _examine(self, tag: str, name: str) -> None:
        if name.strip('"') != self._script.mailbox:
            await self._say(f"{tag} NO [NONEXISTENT] there is no such mailbox")
            return
        await self._say(f"* {len(self._script.mails)} EXISTS")
        await self._say("* OK [UIDVALIDITY 1] valid")
        await self._say(f"{tag} OK [READ-ONLY] done")

    async def _fetch_sizes(self, tag: str, rest: str) -> None:
        first, last = map(int, rest.split(" ", maxsplit=1)[0].split(":"))
        for number in range(first, last + 1):
            size = len(self._script.mails[number - 1])
            await self._say(f"* {number} FETCH (UID {number * 10} RFC822.SIZE {size})")
        await self._say(f"{tag} OK done")

    async def _fetch_mail(self, tag: str, rest: str) -> None:
        asked = re.fullmatch(r"FETCH (\d+) \(UID BODY\.PEEK\[\](?:<0\.(\d+)>)?\)", rest)
        if asked is None:
            await self._say(f"{tag} BAD not understood")
            return
        number = int(asked[1]) // 10
        mail = self._script.mails[number - 1][: int(asked[2]) if asked[2] else None]
        match self._script.fault:
            case "close at fetch":
                raise GoneError
            case "bye at fetch":
                await self._say("* BYE shutting down")
                raise GoneError
            case "delete at fetch":
                await self._say(f"* {number} EXPUNGE")
                await self._say(f"{tag} OK done")
                return
            case "endless literal":
                await self._say(f"* {number} FETCH (UID {asked[1]} BODY[] {{999999999}}")
                await self._wire.line()
            case "arrive at fetch":
                await self._say(f"* {len(self._script.mails) + 1} EXISTS")
                await self._say(f"* {number} FETCH (FLAGS (\\Recent))")
        part = "BODY[]<0>" if asked[2] else "BODY[]"
        await self._wire.write(
            f"* {number} FETCH (UID {asked[1]} {part} {{{len(mail)}}}\r\n".encode() + mail + b")\r\n"
        )
        await self._say(f"{tag} OK done")

    async def _say(self, line: str) -> None:
        await self._wire.write(line.encode() + b"\r\n")


class ImapServer(Background):
    """An IMAP server in a thread: `with ImapServer(ImapScript(…)) as server: server.url`."""

    def __init__(self, script: ImapScript) -> None:
        record = Record(None, server="imap")
        self.script = script
        super().__init__(ImapService(script, record), record)

    @property
    def url(self) -> str:
        """The value for CAMPAIGN_IMAP_URL."""
        user, password = (quote(part, safe="") for part in self.script.credentials)
        scheme = "imaps" if self.script.tls else "imap"
        return f"{scheme}://{user}:{password}@127.0.0.1:{self.port}/INBOX"

    @property
    def authority(self) -> bytes:
        """The certificate authority to trust, as PEM."""
        return identity(self.script.certificate).authority

    @property
    def commands(self) -> list[str]:
        """The commands that clients gave."""
        return [event["command"] for event in self.events("command")]
