"""Handle a message at the final dot: check it, record it, accept it: `Reception`."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support.crash.log_reading import UnreadableLogError, look_up
from support.servers.mail import read_mail
from support.servers.script import Delay, Drop, Endless, Extra, Raw, Reply, Reset, Silence, Trickle
from support.servers.smtp_replies import code_of

if TYPE_CHECKING:
    from support.servers.record import Record
    from support.servers.script import Action, Director
    from support.servers.smtp_replies import Replies
    from support.servers.smtp_script import SmtpScript

_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_LONG = re.compile(rb"[^\n]{1000,}")


def taken(action: Action | None, normal: str) -> bool:
    """Return whether the message counts as accepted, whatever reply the client receives."""
    match action:
        case None | Delay() | Extra():
            return code_of(normal) == 250
        case Reply() | Trickle() if action.done is None:
            return code_of(action.text or normal) // 100 == 2
        case Reply() | Trickle() | Drop() | Reset() | Silence() | Raw() | Endless():
            return bool(action.done)
    return False


class Reception:
    """The part of the server that all connections share."""

    def __init__(self, script: SmtpScript, director: Director, record: Record) -> None:
        self._script = script
        self.director = director
        self.record = record
        self._count = 0
        #: The number of open connections.
        self.open = 0

    async def take(
        self,
        body: bytes,
        *,
        sender: str,
        recipients: list[str],
        options: str,
        session: Replies,
        action: Action | None,
    ) -> str:
        """Record the message, and return the usual reply to the final dot.

        `body` ends with the lone dot. The event `accept` means that the message was accepted, even if the script
        then loses the reply; the event `dot` means that it was not.
        """
        arrived = {"t": time.monotonic(), "wall": time.time()}
        data = body[:-3]
        self._judge(data, options, session)
        if b"\r\n." in data or data.startswith(b"."):
            data = re.sub(rb"(?m)^\.", b"", data)
        normal = self._normal(data, recipients)
        mail = read_mail(data, self._script.parameter)
        if self._script.keep is not None and taken(action, normal):
            self._keep(self._script.keep, data)
        self.record.write(
            "accept" if taken(action, normal) else "dot",
            connection=session.number,
            sender=sender,
            options=options.strip(),
            rcpt=recipients,
            to=mail.to,
            message_id=mail.message_id,
            subject=mail.subject,
            tokens=mail.tokens,
            by_part=mail.by_part,
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            lost=isinstance(action, Drop | Reset | Silence | Raw | Endless),
            **await self._witness(mail.message_id, recipients[0] if recipients else ""),
            **arrived,
        )
        return normal

    def _keep(self, folder: str, data: bytes) -> None:
        Path(folder, hashlib.sha256(data).hexdigest()).write_bytes(data)

    def _normal(self, data: bytes, recipients: list[str]) -> str:
        if not recipients:
            return "554 5.5.1 No valid recipients"
        if self._script.size is not None and len(data) > self._script.size:
            return "552 5.3.4 Message size exceeds fixed limit"
        self._count += 1
        return f"250 2.0.0 Ok: queued as {self._count:X}"

    def _judge(self, data: bytes, options: str, session: Replies) -> None:
        if _BARE.search(data):
            session.violation("a bare CR or LF in the message (RFC 5321 §2.3.8)", b"")
        if _LONG.search(data):
            session.violation("a line of more than 998 octets (RFC 5322 §2.1.1)", b"")
        if not data.isascii() and "8BITMIME" not in options.upper():
            session.violation("octets above 127 without BODY=8BITMIME (RFC 6152)", b"")
        if b"\0" in data:
            session.violation("a NUL in the message", b"")

    async def _witness(self, message_id: str, rcpt: str) -> dict[str, bool | str]:
        if self._script.witness is None:
            return {}
        path, statement = self._script.witness
        of = {"message_id": message_id, "rcpt": rcpt}
        try:
            if "://" not in path:
                return {"witnessed": look_up(path, statement, of)}
            # a server that starts again is waited for: the other connections are served meanwhile
            return {"witnessed": await asyncio.to_thread(look_up, path, statement, of)}
        except UnreadableLogError as error:
            return {"witnessed": False, "witness_error": str(error)}
