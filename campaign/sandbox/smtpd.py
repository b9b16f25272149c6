"""Run the sandbox's mail server, aiosmtpd with the fates of addresses: `MailServer`.

`mailbox.py` stores the mail.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP

from campaign.sandbox.fates import fate_of

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope, Session

    from campaign.sandbox.mailbox import Mailbox

#: The server's host name. The TLD `localhost` is reserved (RFC 6761 §6.3).
HOSTNAME = "sandbox.localhost"

#: The idle time-out in seconds. A sender must reach its own time-out first, even with `+hang@`.
_IDLE_TIMEOUT_S = 86_400.0

#: Plain addresses, as real senders write them; aiosmtpd's own parser, a hundred times slower, gets the others.
_PLAIN = re.compile(r"\s*<([\w.!#$%&'*+/=?^`{|}~-]+@[\w.-]+)>\s*(.*)", re.ASCII | re.DOTALL)

#: A web page can make a browser send a request to any port of this machine, with commands for a mail server in its
#: body. Postfix closes at these, too (`smtpd_forbidden_commands`); PRI begins HTTP/2 (RFC 9113 §3.4).
_HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI")

# aiosmtpd logs every line that it reads, and the lines of a mail contain sign-in links.
logging.getLogger("mail.log").setLevel(logging.WARNING)


class MailServer:
    """A group of SMTP sessions that deliver to one mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._handler = _Handler(mailbox)
        self._sessions: set[_Sessions] = set()

    def session(self) -> asyncio.Protocol:
        """Return the protocol of one new connection, for `loop.create_server`."""
        return _Sessions(self._handler, self._sessions)

    async def close(self) -> None:
        """Drop the open connections and wait until their tasks have ended."""
        tasks = [task for session in self._sessions if (task := session.drop()) is not None]
        await asyncio.gather(*tasks, return_exceptions=True)


class _Sessions(SMTP):
    """One connection. It registers itself with the server, so that the server can close it."""

    def __init__(self, handler: _Handler, all_of_them: set[_Sessions]) -> None:
        super().__init__(
            handler,
            hostname=HOSTNAME,
            ident="ESMTP campaign sandbox",
            timeout=_IDLE_TIMEOUT_S,
            loop=asyncio.get_running_loop(),
        )
        self._all_of_them = all_of_them
        self._smtp_methods |= dict.fromkeys(_HTTP_METHODS, self._refuse_http)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._all_of_them.add(self)
        if self._handler_coroutine is not None:
            # Retrieve the exception of a connection that the client reset, or asyncio would log it.
            self._handler_coroutine.add_done_callback(lambda task: task.cancelled() or task.exception())

    def connection_lost(self, error: Exception | None) -> None:
        self._all_of_them.discard(self)
        super().connection_lost(error)

    def drop(self) -> asyncio.Task[None] | None:
        """Close the connection, and return the task that ends as a result."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()
        return self._handler_coroutine

    async def _refuse_http(self, _: str | None) -> None:
        await self.push("221 2.7.0 This is a mail server, not a web server. Goodbye.")
        # Ends the task, which closes the connection, before it reads the lines that were received with this one.
        raise asyncio.CancelledError

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        if found := _PLAIN.fullmatch(arg):
            return found[1], found[2]
        try:
            return super()._getaddr(arg)
        except IndexError:
            # The parser of the standard library raises this on "<mia@", and aiosmtpd does not catch it.
            return None, None


class _Handler:
    """aiosmtpd's hooks, which it calls by name."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        # RFC 2920: aiosmtpd reads command by command from a buffered stream and answers in order.
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        fate = fate_of(address)
        if fate.bounce:
            return f"550 5.1.1 <{address}>: Recipient address rejected: User unknown"
        if fate.defer and self._mailbox.defer(address, times=fate.defer):
            return f"451 4.7.1 <{address}>: Recipient address rejected: Greylisted, please try again later"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        content: Any = envelope.original_content
        name = self._mailbox.store(content, sender=envelope.mail_from or "", recipients=envelope.rcpt_tos)
        fates = [fate_of(address) for address in envelope.rcpt_tos]
        for address, fate in zip(envelope.rcpt_tos, fates, strict=True):
            if fate.defer:
                self._mailbox.taken(address)
        if any(fate.drop for fate in fates) and server.transport is not None:
            server.transport.close()
        if any(fate.drop or fate.hang for fate in fates):
            # Never reply. The task is cancelled when the connection closes.
            await asyncio.Event().wait()
        return f"250 2.0.0 OK: queued as {name}"

    async def handle_exception(self, error: Exception) -> str:
        # A temporary error (4xx), because a fault of the sandbox, such as a full disk, is not the recipient's.
        return f"451 4.3.0 The sandbox failed ({type(error).__name__}), please try again later"
