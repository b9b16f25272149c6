"""Open a logged-in `Connection` to the mail server: `Connector.connect`. Only this module uses aiosmtplib."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from typing import TYPE_CHECKING, cast

import aiosmtplib

from campaign.errors import Scope, ServiceRefusesError, TransientError
from campaign.smtp.connection import Connection
from campaign.smtp.terms import Features, Timeouts
from campaign.words import receipt

if TYPE_CHECKING:
    from campaign.config.settings import SmtpServer

#: Timeout in seconds of the connection, the greeting, TLS and each command of the login.
_STEP_TIMEOUT_S = 60.0
_ABOUT_TLS = "check the host in CAMPAIGN_SMTP_URL, or set SSL_CERT_FILE to its CA certificate"
_ABOUT_STARTTLS = "check host and port in CAMPAIGN_SMTP_URL, or write smtps:// there"


class Connector:
    """Opens connections to one server; the TLS context is built once.

    Args:
        server: host, port, login and TLS mode.
        timeouts: the timeouts of transactions on the connections.
        context: the trusted certificates; by default the system's (OpenSSL reads `SSL_CERT_FILE`).
    """

    def __init__(self, server: SmtpServer, timeouts: Timeouts, context: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._timeouts = timeouts
        self._context = None if server.tls == "none" else context or ssl.create_default_context()
        name = socket.gethostname()
        # RFC 5321 §4.1.1.1: a fully qualified host name if there is one, else an address literal
        self._own_name = name if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", name) else "[127.0.0.1]"

    async def connect(self) -> Connection:
        """Return a new connection that is ready for MAIL.

        Raises:
            ServiceRefusesError: no trusted TLS, login refused, or unknown host; waiting would not help.
            TransientError: the server cannot be reached or replies that it is not ready (scope: the server).
        """
        client = aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            use_tls=self._server.tls == "implicit",
            start_tls=False,
            tls_context=self._context,
            local_hostname=self._own_name,
            timeout=_STEP_TIMEOUT_S,
        )
        try:
            await client.connect()
            if self._server.tls == "starttls":
                await self._upgrade(client)
            await _greet(client)
            if self._server.username is not None:
                await self._log_in(client, self._server.username, self._server.password or "")
            return self._take_over(client)
        except BaseException as error:
            if client.transport is not None:
                # abort at once: closing TLS would wait for the server's close_notify
                cast("asyncio.Transport", client.transport).abort()
            client.close()
            if isinstance(error, (OSError, aiosmtplib.SMTPException)):
                raise self._fate(error) from error
            raise

    async def _upgrade(self, client: aiosmtplib.SMTP) -> None:
        await _greet(client)
        witness = _Witness(cast("asyncio.Protocol", client.protocol))
        cast("asyncio.Transport", client.transport).set_protocol(witness)
        try:
            await client.starttls()
        except aiosmtplib.SMTPResponseException as error:
            if error.code == 421:  # the server closes; this says nothing about STARTTLS
                raise
            raise self._refused(
                f"the server refused STARTTLS: {receipt(error.code, error.message)}; {_ABOUT_STARTTLS}"
            ) from error
        except (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError):
            raise
        except aiosmtplib.SMTPException as error:
            raise self._refused(f"the server does not offer STARTTLS; {_ABOUT_STARTTLS}") from error
        if witness.spoke_behind_the_reply:
            raise self._refused(
                "data came after the reply to STARTTLS and before TLS, which may be an attack; try from another network"
            )

    async def _log_in(self, client: aiosmtplib.SMTP, username: str, password: str) -> None:
        offered = client.server_auth_methods
        if "plain" in offered:
            await client.auth_plain(username, password)
        elif "login" in offered:
            await client.auth_login(username, password)
        else:
            raise self._refused(
                f"the server offers neither AUTH PLAIN nor AUTH LOGIN (it offers: {', '.join(offered) or 'none'}); "
                "remove user and password from CAMPAIGN_SMTP_URL if the server needs no login"
            )

    def _take_over(self, client: aiosmtplib.SMTP) -> Connection:
        extensions = client.esmtp_extensions
        size = extensions.get("size")
        features = Features(
            pipelining="pipelining" in extensions,
            eight_bit="8bitmime" in extensions,
            size=None if size is None else int(size) if size.isdigit() else 0,
        )
        connection = Connection(features, self._timeouts)
        transport = cast("asyncio.Transport", client.transport)
        if transport is None or transport.is_closing():
            raise aiosmtplib.SMTPServerDisconnected("the server closed the connection after the login")
        transport.set_protocol(connection)
        connection.connection_made(transport)
        return connection

    def _fate(self, error: Exception) -> Exception:
        """Return the error of this program for an error of aiosmtplib or of the network."""
        name = self._server.label
        causes = list(_causes(error))
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            cause = next(cause for cause in causes if isinstance(cause, ssl.SSLError))
            return self._refused(
                f"its TLS is not trusted: {getattr(cause, 'verify_message', '') or cause.reason or cause}; {_ABOUT_TLS}"
            )
        if any(isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME for cause in causes):
            return ServiceRefusesError(f"the host {self._server.host} does not exist; check CAMPAIGN_SMTP_URL")
        if isinstance(error, aiosmtplib.SMTPResponseException):
            said = receipt(error.code, error.message)
            if 500 <= error.code < 600:  # RFC 5321 §4.2.1: 5yz is permanent
                what = "the login" if isinstance(error, aiosmtplib.SMTPAuthenticationError) else "the connection"
                return ServiceRefusesError(
                    f"the mail server {name} refuses {what}: {said}; check user and password in CAMPAIGN_SMTP_URL"
                )
            return TransientError(f"the mail server {name} is not ready: {said}", scope=Scope.SERVER, reply=said)
        return TransientError(f"the mail server {name} cannot be reached: {error}", scope=Scope.SERVER)

    def _refused(self, why: str) -> ServiceRefusesError:
        return ServiceRefusesError(f"the mail server {self._server.label} cannot be used: {why}")


async def _greet(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError as error:
        if not client.is_connected or 400 <= error.code < 500:  # 4yz is transient
            raise
        await client.helo()


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


class _Witness(asyncio.Protocol):
    """Passes all events to aiosmtplib's protocol and records the data that comes before TLS.

    RFC 3207 §6: an attacker can inject data in clear text after the reply to STARTTLS. aiosmtplib drops such data;
    `Connector` refuses the whole session.
    """

    def __init__(self, inner: asyncio.Protocol) -> None:
        self._inner = inner
        self._seen = bytearray()

    @property
    def spoke_behind_the_reply(self) -> bool:
        """Whether the data before TLS is anything but exactly one reply."""
        return re.fullmatch(rb"(?:220-[^\n]*\n)*220(?: [^\n]*)?\n", bytes(self._seen)) is None

    def data_received(self, data: bytes) -> None:
        """Record the data and pass it on."""
        self._seen += data[:4096]
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass the end of the stream on."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the loss on."""
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._inner.resume_writing()
