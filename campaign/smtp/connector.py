"""Open a logged-in `Connection` to the mail server: `Connector.connect`."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Protocol, cast

import aiosmtplib

from campaign.smtp.connect_errors import ConnectErrors
from campaign.smtp.connection import Connection
from campaign.smtp.dialing import dial, resolve
from campaign.smtp.login import log_in
from campaign.smtp.starttls_witness import StarttlsWitness
from campaign.smtp.terms import Features, Timeouts

if TYPE_CHECKING:
    import socket

    from campaign.config.settings import SmtpServer
    from campaign.smtp.access_token import AccessToken
    from campaign.smtp.dialing import Resolve

#: A server that does not know EHLO (RFC 5321 §3.2); other refusals are about the client's name or address.
_UNKNOWN_COMMAND = frozenset({500, 502})


class Connects(Protocol):
    """Opens connections."""

    async def connect(self) -> Connection:
        """Return a logged-in connection."""
        ...


class Connector:
    """Opens connections to one server; the TLS context is built once.

    Args:
        server: host, port, login and TLS mode.
        timeouts: from the dialing to the login, and those of transactions on the connections.
        context: the trusted certificates; by default the system's (OpenSSL reads `SSL_CERT_FILE`).
        name: the name for EHLO; None greets with the literal of the connection's own address.
        token: the access token for the login instead of a password.
        resolve: finds the host's addresses.
    """

    def __init__(
        self,
        server: SmtpServer,
        timeouts: Timeouts,
        context: ssl.SSLContext | None = None,
        *,
        name: str | None = None,
        token: AccessToken | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self._server = server
        self._timeouts = timeouts
        self._context = None if server.tls == "none" else context or ssl.create_default_context()
        self._name = name
        self._token = token
        self._resolve = resolve

    async def connect(self) -> Connection:
        """Return a new connection that is ready for MAIL.

        Raises:
            ServiceRefusesError: no trusted TLS, name or login refused, or unknown host; waiting would not help.
            TransientError: the server cannot be reached, is too slow, or replies that it is not ready (scope: the
                server).
        """
        errors = ConnectErrors(self._server, self._timeouts.login)
        try:
            async with asyncio.timeout(self._timeouts.login) as deadline:
                return await self._connect(errors)
        except (OSError, aiosmtplib.SMTPException) as error:
            raise errors.too_slow() if deadline.expired() else errors.meaning_of(error) from error

    async def _connect(self, errors: ConnectErrors) -> Connection:
        if self._token is None:
            return await self._open(errors, None)
        token = await self._token.get()
        try:
            return await self._open(errors, token)
        except aiosmtplib.SMTPAuthenticationError as error:
            # it may have expired; the same token again would be refused again
            if error.code < 500 or (another := await self._token.get(instead_of=token)) == token:
                raise
            return await self._open(errors, another)

    async def _open(self, errors: ConnectErrors, token: str | None) -> Connection:
        errors.step = "the connection"
        errors.hide(token or self._server.password)
        sock = await dial(self._server.host, self._server.port, self._resolve)
        errors.step, errors.name = "the greeting", self._name or _literal(sock)
        client = aiosmtplib.SMTP(
            hostname=self._server.host,
            sock=sock,
            use_tls=self._server.tls == "implicit",
            start_tls=False,
            tls_context=self._context,
            local_hostname=errors.name,
            timeout=None,  # one deadline covers all steps
        )
        try:
            await client.connect()
            if self._server.tls == "starttls":
                await self._upgrade(client, errors)
            await _greet(client, errors)
            if self._server.username is not None:
                errors.step = "the login"
                await log_in(client, self._server, token, errors)
            return self._take_over(client)
        except BaseException:
            if client.transport is not None:
                # abort at once: closing TLS would wait for the server's close_notify
                cast("asyncio.Transport", client.transport).abort()
            client.close()
            raise

    async def _upgrade(self, client: aiosmtplib.SMTP, errors: ConnectErrors) -> None:
        await _greet(client, errors)
        errors.step = "STARTTLS"
        witness = StarttlsWitness(cast("asyncio.Protocol", client.protocol))
        cast("asyncio.Transport", client.transport).set_protocol(witness)
        try:
            await client.starttls()
        except aiosmtplib.SMTPException as error:
            if meaning := errors.at_starttls(error):
                raise meaning from error
            raise
        if witness.spoke_behind_the_reply:
            raise errors.refused(
                "data came after the reply to STARTTLS and before TLS, which may be an attack; try from another network"
            )

    def _take_over(self, client: aiosmtplib.SMTP) -> Connection:
        extensions = client.esmtp_extensions
        size = extensions.get("size")
        features = Features(
            pipelining="pipelining" in extensions,
            eight_bit="8bitmime" in extensions,
            size=None if size is None else int(size) if size.isdigit() else 0,
            dsn="dsn" in extensions,
        )
        connection = Connection(features, self._timeouts, renews_login=self._token is not None)
        transport = cast("asyncio.Transport", client.transport)
        if transport is None or transport.is_closing():
            raise aiosmtplib.SMTPServerDisconnected("the server closed the connection after the login")
        transport.set_protocol(connection)
        connection.connection_made(transport)
        return connection


async def _greet(client: aiosmtplib.SMTP, errors: ConnectErrors) -> None:
    errors.step = "EHLO"
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError as error:
        if not client.is_connected or error.code not in _UNKNOWN_COMMAND:
            raise
        await client.helo()


def _literal(sock: socket.socket) -> str:
    """Return the literal of a connection's own address (RFC 5321 §4.1.3)."""
    host = sock.getsockname()[0].partition("%")[0]
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"
