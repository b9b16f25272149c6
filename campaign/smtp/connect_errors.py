"""Turn the errors of connecting and logging in into those of this program: `ConnectErrors`."""

from __future__ import annotations

import base64
import socket
import ssl
from typing import TYPE_CHECKING

import aiosmtplib

from campaign.errors import Scope, ServiceRefusesError, TransientError
from campaign.words import receipt, redacted

if TYPE_CHECKING:
    from campaign.config.settings import SmtpServer
    from campaign.model import Receipt

_ABOUT_TLS = "check the host in CAMPAIGN_SMTP_URL, or set SSL_CERT_FILE to its CA certificate"
_ABOUT_STARTTLS = "check host and port in CAMPAIGN_SMTP_URL, or write smtps:// there"
_ABOUT_NAME = "set CAMPAIGN_EHLO to this machine's host name in DNS, such as mail.example.com"
_ABOUT_LOGIN = "check user and password in CAMPAIGN_SMTP_URL"
_ABOUT_OAUTH = "check the user in CAMPAIGN_SMTP_URL and what CAMPAIGN_SMTP_TOKEN_COMMAND prints"
#: aiosmtplib's code for something that is not a reply.
_NO_REPLY = -1


class ConnectErrors:
    """The errors of one try to connect; `step` and `name` say how far it came.

    Args:
        server: the mail server.
        seconds: the deadline of the whole try.
    """

    def __init__(self, server: SmtpServer, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        #: What is under way: the connection, the greeting, EHLO, STARTTLS or the login.
        self.step = "the connection"
        #: The name that EHLO gives.
        self.name = ""
        self._secrets: tuple[str, ...] = ()

    def hide(self, secret: str | None) -> None:
        """Keep no piece of a password or access token, plain or as AUTH sends it, when the server quotes it."""
        if secret:
            plain = f"\0{self._server.username}\0{secret}"
            self._secrets = (secret, *(base64.b64encode(text.encode()).decode() for text in (secret, plain)))

    def too_slow(self) -> TransientError:
        """Return the error for a server that has not let us in before the deadline, however much it has sent."""
        return TransientError(
            f"the mail server {self._server.label} is too slow: {self.step} was not over after {self._seconds:g} s, "
            "the limit from dialing to login",
            scope=Scope.SERVER,
        )

    def refused(self, why: str) -> ServiceRefusesError:
        """Return the error for a server that cannot be used as it is set."""
        return ServiceRefusesError(f"the mail server {self._server.label} cannot be used: {why}")

    def at_starttls(self, error: aiosmtplib.SMTPException) -> ServiceRefusesError | None:
        """Return the error for a server without STARTTLS; None if the error says nothing about STARTTLS."""
        if isinstance(error, aiosmtplib.SMTPResponseException):
            if error.code == 421:  # the server closes
                return None
            return self.refused(f"the server refused STARTTLS: {self._receipt(error)}; {_ABOUT_STARTTLS}")
        if isinstance(error, (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError)):
            return None
        return self.refused(f"the server does not offer STARTTLS; {_ABOUT_STARTTLS}")

    def meaning_of(self, error: Exception) -> Exception:
        """Return the error of this program for an error of aiosmtplib or of the network."""
        causes = list(_causes(error))
        if cause := next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None):
            return self.refused(
                f"its TLS is not trusted: {getattr(cause, 'verify_message', '') or cause.reason or cause}; {_ABOUT_TLS}"
            )
        if any(isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME for cause in causes):
            return ServiceRefusesError(f"the host {self._server.host} does not exist; check CAMPAIGN_SMTP_URL")
        if isinstance(error, aiosmtplib.SMTPResponseException):
            return self._meaning_of_reply(error)
        return TransientError(
            f"the mail server {self._server.label} cannot be reached: {redacted(str(error), self._secrets)}",
            scope=Scope.SERVER,
        )

    def _meaning_of_reply(self, error: aiosmtplib.SMTPResponseException) -> Exception:
        label, said = self._server.label, self._receipt(error)
        if error.code == _NO_REPLY:
            return TransientError(
                f"the mail server {label} does not answer as one at {self.step}: {said.text}; "
                "check host and port in CAMPAIGN_SMTP_URL",
                scope=Scope.SERVER,
            )
        at_name = isinstance(error, aiosmtplib.SMTPHeloError)
        if not 500 <= error.code < 600:  # RFC 5321 §4.2.1: only 5yz is permanent
            what = f"EHLO {self.name} was answered: {said}; if this lasts, {_ABOUT_NAME}" if at_name else f"{said}"
            return TransientError(f"the mail server {label} is not ready: {what}", scope=Scope.SERVER, reply=said)
        if at_name:
            return ServiceRefusesError(f"the mail server {label} refuses EHLO {self.name}: {said}; {_ABOUT_NAME}")
        what = "the login" if isinstance(error, aiosmtplib.SMTPAuthenticationError) else "the connection"
        hint = _ABOUT_OAUTH if self._server.token_command else _ABOUT_LOGIN
        return ServiceRefusesError(f"the mail server {label} refuses {what}: {said}; {hint}")

    def _receipt(self, error: aiosmtplib.SMTPResponseException) -> Receipt:
        return receipt(error.code, error.message, secrets=self._secrets)


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
