"""Build the connector to a run's mail server from the settings: `connector_to`."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from campaign.smtp import Connector, Timeouts
from campaign.smtp.access_token import AccessToken
from campaign.smtp.client_name import client_name

if TYPE_CHECKING:
    from campaign.config.settings import Settings, SmtpServer


def connector_to(server: SmtpServer, settings: Settings, *, sender: str) -> Connector:
    """Return the connector to a mail server.

    Args:
        server: the mail server; the sandbox's is not the one of the settings.
        settings: timeouts and the name for EHLO.
        sender: the address of `from`, whose domain may stand in for the machine's name.
    """
    return Connector(
        server,
        Timeouts(dot=settings.reply_timeout.total_seconds()),
        name=client_name(settings.ehlo, host=socket.gethostname(), sender=sender),
        token=AccessToken(server.token_command) if server.token_command else None,
    )
