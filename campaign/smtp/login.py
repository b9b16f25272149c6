"""Log in to the mail server by the first of its SASL mechanisms that it takes: `log_in`."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

import aiosmtplib

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from campaign.config.settings import SmtpServer
    from campaign.smtp.connect_errors import ConnectErrors

#: The server does not take this mechanism, though it may offer it (RFC 4954 §4); another one may do.
_NOT_THIS_MECHANISM = 504
_CONTINUE = 334
_SUCCESS = 235


async def log_in(client: aiosmtplib.SMTP, server: SmtpServer, token: str | None, errors: ConnectErrors) -> None:
    """Log in with the user and an access token, or with user and password.

    Raises:
        ServiceRefusesError: the server offers no mechanism that fits.
        aiosmtplib.SMTPException: the login was refused, or the connection ended.
    """
    user, password = server.username or "", server.password or ""
    ways: Mapping[str, Callable[[], Awaitable[object]]]
    if token is None:
        hint = "remove user and password from CAMPAIGN_SMTP_URL if the server needs no login"
        ways = {
            "PLAIN": lambda: client.auth_plain(user, password),
            "LOGIN": lambda: client.auth_login(user, password),
        }
    else:
        hint = "unset CAMPAIGN_SMTP_TOKEN_COMMAND if the server takes a password"
        gs2_user = user.replace("=", "=3D").replace(",", "=2C")  # RFC 5801 §4
        bearer = f"n,a={gs2_user},\1host={server.host}\1port={server.port}\1auth=Bearer {token}\1\1"
        ways = {
            "XOAUTH2": lambda: _with_token(client, b"XOAUTH2", f"user={user}\1auth=Bearer {token}\1\1", b""),
            # RFC 7628 §3.1; §3.2.3: after an error the client sends a lone ^A
            "OAUTHBEARER": lambda: _with_token(client, b"OAUTHBEARER", bearer, b"AQ=="),
        }
    offered = [name for name in ways if name.lower() in client.server_auth_methods]
    for name in offered:
        try:
            await ways[name]()
        except aiosmtplib.SMTPAuthenticationError as error:
            if error.code != _NOT_THIS_MECHANISM or name == offered[-1]:
                raise
        else:
            return
    raise errors.refused(
        f"the server offers neither {' nor '.join(f'AUTH {name}' for name in ways)} (it offers: "
        f"{', '.join(client.server_auth_methods) or 'none'}); {hint}"
    )


async def _with_token(client: aiosmtplib.SMTP, mechanism: bytes, response: str, after_error: bytes) -> None:
    """Log in with an access token in the initial response; on 334 the server says in JSON why it refuses.

    Args:
        client: the connection, which has greeted.
        mechanism: the name of the mechanism.
        response: the initial response, not yet in Base64.
        after_error: what the client sends for the server's final reply.
    """
    reply = await client.execute_command(b"AUTH", mechanism, base64.b64encode(response.encode()))
    why = ""
    if reply.code == _CONTINUE:
        why = _error_of(reply.message)
        reply = await client.execute_command(after_error)
    if reply.code != _SUCCESS:
        raise aiosmtplib.SMTPAuthenticationError(reply.code, f"{reply.message}{why}")


def _error_of(challenge: str) -> str:
    """Return status and scope of the server's JSON error (RFC 7628 §3.2.2) in brackets, or nothing."""
    try:
        error = json.loads(base64.b64decode(challenge))
        words = [f"{name} {error[name]}" for name in ("status", "scope") if name in error]
    except (binascii.Error, ValueError, TypeError):
        return ""
    return f" ({', '.join(words)})" if words else ""
