"""Handle one SMTP session, from greeting to QUIT (RFC 5321, RFC 2920): `Session`.

The script selects the faults; `smtp_replies.py` performs them.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import TYPE_CHECKING

from support.servers.certificates import identity
from support.servers.script import Reply
from support.servers.smtp_auth import TOKEN_MECHANISMS, TOKEN_REFUSED, MalformedError, credentials
from support.servers.smtp_replies import Replies
from support.servers.wire import GoneError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.servers.script import Action
    from support.servers.smtp_data import Reception
    from support.servers.smtp_script import SmtpScript

_PATH = re.compile(r"(?:FROM|TO):\s*<([^<>]*)>(.*)", re.IGNORECASE | re.DOTALL)
#: The extension of each parameter of MAIL whose name differs (RFC 6152, RFC 3461 §4).
_OFFERED_AS = {"BODY": "8BITMIME", "RET": "DSN", "ENVID": "DSN"}


class Session(Replies):
    """The state of one connection."""

    def __init__(self, script: SmtpScript, reception: Reception, number: int) -> None:
        super().__init__(script, reception.director, reception.record, number)
        self._reception = reception
        self._greeted = ""
        #: The keywords of the last EHLO reply.
        self._capabilities: set[str] = set()
        self._user: str | None = None
        self._forget()
        self._handlers: dict[str, Callable[[str], Awaitable[None]]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
            "QUIT": self._quit,
        }

    def _forget(self) -> None:
        self._sender: str | None = None
        self._options = ""
        self._recipients: list[str] = []
        self._refused = ""

    async def run(self, open_connections: int) -> None:
        """Run the session; return when the connection has ended.

        Raises:
            GoneError: the client left, or the script ended it.
        """
        if self.script.tls == "implicit":
            await self._handshake()
        if self.script.connections is not None and open_connections > self.script.connections:
            await self.refuse("connect", "421 4.7.0 Too many connections from your host")
            self.end()
        if await self.answer("connect", "220 mail.example ESMTP") // 100 != 2:
            self.end()
        while True:
            await self._command(await self._next_line())

    async def _next_line(self) -> bytes:
        if not self._greeted or self._sender is not None:
            return await self.wire.line()
        return await self.line_or_idle()

    async def _command(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            self.violation("a command line ends in a bare LF", line)
        if len(line) > 2000:
            self.violation("a command line of more than 2000 octets", line)
        try:
            text = line.decode("ascii")
        except UnicodeDecodeError:
            text = line.decode("utf-8", "replace")
            if "SMTPUTF8" not in self._options.upper() and "SMTPUTF8" not in text.upper():
                self.violation("a command with octets above 127 and no SMTPUTF8", line)
        verb, _, rest = text.strip().partition(" ")
        handler = self._handlers.get(verb.upper())
        if handler is None:
            await self.refuse(verb[:20].lower(), "500 5.5.2 Command not recognised")
            return
        grouped = verb.upper() in {"MAIL", "RCPT", "RSET"}
        if self.wire.pending and not (grouped and self._offered("PIPELINING")):
            self.violation(f"{verb.upper()} with more behind it, which RFC 2920 does not allow here", line)
        await handler(rest.strip())

    def _offered(self, capability: str) -> bool:
        return self._greeted == "EHLO" and capability in self._capabilities

    # -- commands --------------------------------------------------------------------------------------------

    async def _ehlo(self, name: str) -> None:
        self.record.write("ehlo", connection=self.number, name=name)
        if self.script.helo_only:
            await self.refuse("ehlo", "502 5.5.1 Command not implemented")
            return
        lines = ["mail.example", *self.script.capabilities]
        if self.script.size is not None:
            lines.append(f"SIZE {self.script.size}")
        if self.script.tls == "starttls" and not self.wire.tls:
            lines.append("STARTTLS")
        if self.script.credentials:
            lines.append("AUTH " + " ".join(self.script.mechanisms))
        text = "\n".join([*(f"250-{one}" for one in lines[:-1]), f"250 {lines[-1]}"])
        action = self.director.choose("ehlo", connection=self.number)
        if await self.perform("ehlo", action, text) == 250:
            said = action.text if isinstance(action, Reply) else text
            self._capabilities = {line[4:].partition(" ")[0] for line in said.split("\n")[1:]}
            self._greeted = "EHLO"
            self._forget()

    async def _helo(self, _name: str) -> None:
        if await self.answer("helo", "250 mail.example") == 250:
            self._greeted = "HELO"
            self._forget()

    async def _starttls(self, _rest: str) -> None:
        if self.script.tls != "starttls" or self.wire.tls:
            await self.refuse("starttls", "502 5.5.1 Command not implemented")
        elif await self.answer("starttls", "220 2.0.0 Ready to start TLS") == 220:
            await self._handshake()
            self._greeted = ""
            self._forget()

    async def _handshake(self) -> None:
        try:
            await self.wire.start_tls(identity(self.script.certificate).context)
        except (ssl.SSLError, OSError) as error:
            self.record.write("tls", connection=self.number, ok=False, error=str(error))
            raise GoneError from error
        self.record.write("tls", connection=self.number, ok=True)

    async def _auth(self, rest: str) -> None:
        name, _, initial = rest.partition(" ")
        if self.script.credentials is None or name.upper() not in self.script.mechanisms:
            await self.refuse("auth", "504 5.5.4 Mechanism not offered")
            return

        async def ask(challenge: str) -> bytes:
            encoded = {"": "", "Username:": "VXNlcm5hbWU6", "Password:": "UGFzc3dvcmQ6"}[challenge]
            await self.say(f"334 {encoded}")
            return await self.wire.line()

        try:
            user, password = await credentials(name.upper(), initial or None, ask)
        except MalformedError:
            await self.refuse("auth", "501 5.5.2 Cannot decode")
            return
        good = (user, password) == self.script.credentials
        if not good and name.upper() in TOKEN_MECHANISMS:
            await self.say(f"334 {TOKEN_REFUSED}")
            answer = (await self.wire.line()).strip()
            if answer != (b"" if name.upper() == "XOAUTH2" else b"AQ=="):
                self.violation("a wrong response to the error of the mechanism", answer)
        if not good:
            code = await self.answer("auth", "535 5.7.8 Authentication credentials invalid")
        else:
            code = await self.answer("auth", "235 2.7.0 Authentication successful")
        if code == 235:
            self._user = user
        self.record.write("auth", connection=self.number, ok=code == 235, tls=self.wire.tls, mechanism=name.upper())

    async def _mail(self, rest: str) -> None:
        found = _PATH.fullmatch(rest)
        if not self._greeted:
            self.violation("MAIL before EHLO", rest.encode())
            await self.refuse("mail", "503 5.5.1 EHLO first")
        elif self._sender is not None:
            self.violation("MAIL within a transaction", rest.encode())
            await self.refuse("mail", "503 5.5.1 Sender already given")
        elif found is None:
            await self.refuse("mail", "501 5.5.4 Syntax: MAIL FROM:<address>")
        elif self.script.auth_required and self._user is None:
            await self.refuse("mail", "530 5.7.0 Authentication required")
        else:
            await self._mail_from(found[1], found[2])

    async def _mail_from(self, sender: str, options: str) -> None:
        for option in options.split():
            keyword = option.partition("=")[0].upper()
            if not self._offered(_OFFERED_AS.get(keyword, keyword)) and keyword != "AUTH":
                self.violation(f"MAIL with {option}, which was not offered", options.encode())
                await self.refuse("mail", "555 5.5.4 Unsupported option")
                return
        size = re.search(r"\bSIZE=(\d+)", options, re.IGNORECASE)
        if size and self.script.size is not None and int(size[1]) > self.script.size:
            await self.refuse("mail", "552 5.3.4 Message size exceeds fixed limit")
        elif await self.answer("mail", "250 2.1.0 Sender ok", to=sender) == 250:
            self._sender, self._options = sender, options

    async def _rcpt(self, rest: str) -> None:
        found = _PATH.fullmatch(rest)
        if self._sender is None:
            await self.refuse("rcpt", "503 5.5.1 MAIL first")
        elif found is None or not found[1]:
            await self.refuse("rcpt", "501 5.1.3 Syntax: RCPT TO:<address>")
        else:
            if self._recipients:
                self.violation("a second RCPT in one transaction", rest.encode())
            self._refused = found[1]
            if await self.answer("rcpt", "250 2.1.5 Recipient ok", to=found[1]) in {250, 251}:
                self._recipients.append(found[1])

    async def _data(self, _rest: str) -> None:
        to = self._recipients[0] if self._recipients else self._refused
        if self._sender is None or not (self._recipients or self.script.data_after_refusal):
            await self.refuse(
                "data", "503 5.5.1 RCPT first" if self._sender is None else "554 5.5.1 No valid recipients"
            )
            return
        self.record.write("data", connection=self.number, rcpt=self._recipients)
        if await self.answer("data", "354 End data with <CR><LF>.<CR><LF>", to=to) != 354:
            return
        await self._strike_in_body(to)
        try:
            body = await asyncio.wait_for(self.wire.body(), self.script.data_timeout)
        except TimeoutError:
            await self.refuse("body", "421 4.4.2 Timeout waiting for data from client", to=to)
            self.end()
        action = self.director.choose("dot", to=to, connection=self.number)
        if self.script.submissions is not None and self._reception.open > self.script.submissions:
            action = Reply("432 4.3.2 Concurrent connections limit exceeded")
        await self._final_dot(body, action)

    async def _strike_in_body(self, to: str) -> None:
        if not self.director.has("body"):
            return
        action = self.director.choose("body", to=to, connection=self.number)
        if action is None:
            return
        if not self.wire.pending:
            await self.wire.news()
        await self.perform("body", action, "", to=to)

    async def _final_dot(self, body: bytes, action: Action | None) -> None:
        sender, recipients, options = self._sender or "", self._recipients, self._options
        self._forget()
        normal = await self._reception.take(
            body, sender=sender, recipients=recipients, options=options, session=self, action=action
        )
        to = recipients[0] if recipients else ""
        self.judge_silence("dot")
        await self.perform("dot", action, normal, to=to)

    async def _rset(self, _rest: str) -> None:
        if await self.answer("rset", "250 2.0.0 Ok") == 250:
            self._forget()

    async def _noop(self, _rest: str) -> None:
        await self.answer("noop", "250 2.0.0 Ok")

    async def _quit(self, _rest: str) -> None:
        await self.answer("quit", "221 2.0.0 Bye")
        self.end()
