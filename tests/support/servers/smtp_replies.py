"""Send the mail server's replies, normal or as scripted: `Replies`. The commands are in `smtp_session.py`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

from support.servers.script import GLANCE_S, Delay, Drop, Endless, Extra, Raw, Reply, Reset, Silence, Trickle
from support.servers.wire import GoneError

if TYPE_CHECKING:
    from support.servers.record import Record
    from support.servers.script import Action, Director
    from support.servers.smtp_script import SmtpScript
    from support.servers.wire import Wire


def code_of(text: str) -> int:
    """Return the code of a reply, or 0 if it has none."""
    last = text.splitlines()[-1] if text else ""
    return int(last[:3]) if last[:3].isdigit() and last[3:4] in {" ", ""} else 0


class Replies:
    """The replies on one connection."""

    wire: Wire

    def __init__(self, script: SmtpScript, director: Director, record: Record, number: int) -> None:
        self.script = script
        self.director = director
        self.record = record
        #: The connection's number since the server's start, counted from 1.
        self.number = number

    async def say(self, text: str) -> None:
        """Send a reply of one or more lines."""
        await self.wire.write("".join(f"{line}\r\n" for line in text.split("\n")).encode("utf-8"))

    async def refuse(self, stage: str, text: str, *, to: str = "") -> None:
        """Record a refusal, then send it."""
        self.record.write(
            "refuse", connection=self.number, stage=stage, code=code_of(text), text=text, rcpt=to, lost=False
        )
        await self.say(text)

    def violation(self, what: str, line: bytes) -> None:
        """Record that the client violated the protocol."""
        self.record.write("violation", connection=self.number, what=what, line=line[:200].decode("latin-1"))

    def judge_silence(self, stage: str) -> None:
        """Record bytes that follow the final dot before its reply, which hardened servers refuse (SMTP smuggling)."""
        if stage == "dot" and self.wire.pending:
            self.violation("bytes between the final dot and its reply", self.wire.waiting)

    def end(self) -> NoReturn:
        """Close the connection (FIN)."""
        self.wire.close()
        raise GoneError

    async def answer(self, stage: str, normal: str, *, to: str = "") -> int:
        """Send the usual reply or a scripted one; return the code that the client received, 0 if none.

        Raises:
            GoneError: the connection has ended.
        """
        return await self.perform(stage, self.director.choose(stage, to=to, connection=self.number), normal, to=to)

    async def perform(self, stage: str, action: Action | None, normal: str, *, to: str = "") -> int:
        """Perform `action`, or send the usual reply if it is None; see `answer`."""
        if action is not None:
            self.record.write("fault", connection=self.number, stage=stage, action=type(action).__name__, rcpt=to)
        match action:
            case Delay():
                await asyncio.sleep(action.seconds)
                while action.until and not self.record.has_beside(action.until):  # noqa: ASYNC110 - another process makes it
                    await asyncio.sleep(GLANCE_S)
                self.judge_silence(stage)
                return await self._plainly(stage, normal, to)
            case Reply() | Extra() | Raw() | None:
                return await self._at_once(stage, action, normal, to)
            case Drop():
                self.end()
            case Reset():
                self.wire.reset()
                raise GoneError
        return await self._slowly(action, normal)

    async def _at_once(self, stage: str, action: Reply | Extra | Raw | None, normal: str, to: str) -> int:
        code = 0
        match action:
            case None:
                return await self._plainly(stage, normal, to)
            case Reply():
                code = await self._plainly(stage, action.text, to)
            case Extra():
                await self.say(f"{normal}\n{action.text}" if normal else action.text)
                code = code_of(normal)
            case Raw():
                await self.wire.write(action.data.encode("latin-1"))
        if action.close:
            self.end()
        return code

    async def _plainly(self, stage: str, text: str, to: str) -> int:
        if not text:
            return 0
        if code_of(text) >= 400:
            await self.refuse(stage, text, to=to)
        else:
            await self.say(text)
        return code_of(text)

    async def _slowly(self, action: Action, normal: str) -> int:
        match action:
            case Silence():
                await self._until_gone(action.seconds)
                self.end()
            case Endless():
                while True:
                    await self.say("\n".join([action.line] * 100))
                    await asyncio.sleep(0)
            case Trickle():
                text = action.text or normal
                for byte in f"{text}\r\n".encode():
                    await self.wire.write(bytes([byte]))
                    await asyncio.sleep(action.interval)
                return code_of(text)
        raise TypeError(f"{type(action).__name__} is no way for a mail server to answer")

    async def _until_gone(self, seconds: float | None) -> None:
        async def gone() -> None:
            while True:
                await self.wire.news()

        try:
            await asyncio.wait_for(gone(), seconds)
        except TimeoutError:
            return

    async def line_or_idle(self) -> bytes:
        """Return the next command; if the client is idle before it, an `idle` fault may apply."""
        if not self.director.has("idle"):
            return await self.wire.line()
        try:
            return await asyncio.wait_for(self.wire.line(), self.script.idle_after)
        except TimeoutError:
            action = self.director.choose("idle", connection=self.number)
            if action is not None:
                await self.perform("idle", action, "")
            return await self.wire.line()
