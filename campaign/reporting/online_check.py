"""Add to a check what only the network can tell: `check_online`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from campaign.compliance.online.lookup import Dns
from campaign.compliance.online.review import OnlineSubject, review_online
from campaign.delivery.mail_server import connector_to
from campaign.errors import SettingsError
from campaign.message.mime.headers import split_mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.config.settings import Settings
    from campaign.reporting.check_report import CheckReport


async def check_online(report: CheckReport, settings: Callable[[], Settings], *, resolver: str | None = None) -> None:
    """Ask the DNS, the mail server and the campaign's pages, and add the findings to a report. Nothing is sent.

    Args:
        report: of the same campaign.
        settings: returns the settings from the environment; the report has its error already.
        resolver: the DNS server to ask, as `address` or `address:port`; by default that of the system.

    Raises:
        SettingsError: dnspython is not installed, or the resolver is none.
    """
    dns, definition, relay = Dns(resolver), report.definition, None
    with suppress(SettingsError):
        found = settings()
        if found.smtp is not None:
            sender = split_mailbox(definition.email.sender)[1]
            relay = found.smtp, connector_to(found.smtp, found, sender=sender)
    report.add(
        await review_online(OnlineSubject(definition, relay, report.key, report.largest, report.first_links), dns)
    )
