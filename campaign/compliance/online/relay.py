"""Look at the mail server: TLS, login and extensions, in a session that sends nothing: `review_relay`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.compliance.finding import not_checked, passed, problem, warning
from campaign.errors import ServiceRefusesError, TransientError

if TYPE_CHECKING:
    from campaign.compliance.finding import Finding
    from campaign.config.settings import SmtpServer
    from campaign.smtp import Connector
    from campaign.smtp.terms import Features


async def review_relay(connector: Connector, server: SmtpServer, largest: int) -> list[Finding]:
    """Return what a session with the mail server shows, from the greeting to the login; then QUIT.

    Args:
        connector: opens the session.
        server: its address.
        largest: the size of the campaign's largest message in bytes.
    """
    name = f"Mail server {server.label}"
    try:
        connection = await connector.connect()
    except (ServiceRefusesError, TransientError) as error:
        advice = "check CAMPAIGN_SMTP_URL, or ask the server's operator"
        return [problem(f"{name}: {error}", "RFC 5321, 3207, 4954", advice)]
    features = connection.features
    connection.quit()
    return [_tls(name, server), _login(name, server), *_extensions(name, features, largest)]


def _tls(name: str, server: SmtpServer) -> Finding:
    if server.tls == "none":
        text = f"{name}: no TLS, which is allowed for a server on this machine; it has to use TLS itself"
        return warning(text, "Google, sender guidelines", "look for TLS in its log")
    return passed(f"{name}: TLS ({server.tls}) with a trusted certificate", "RFC 3207, RFC 8314")


def _login(name: str, server: SmtpServer) -> Finding:
    if server.username is None:
        text = f"{name}: no login is set, and whether it takes mail without one shows at the first mail"
        return not_checked(text, "RFC 4954", "send a test mail: campaign test")
    return passed(f"{name}: the login is accepted", "RFC 4954")


def _extensions(name: str, features: Features, largest: int) -> list[Finding]:
    found = []
    if features.size and features.size < largest:
        found.append(
            problem(
                f"{name}: SIZE is {features.size:,} bytes, and the largest message has {largest:,}",
                "RFC 1870 §6.1",
                "make the message smaller",
            )
        )
    else:
        limit = f"SIZE {features.size:,} bytes" if features.size else "no SIZE limit"
        found.append(passed(f"{name}: {limit}, the largest message has {largest:,}", "RFC 1870"))
    if features.pipelining:
        found.append(passed(f"{name}: PIPELINING", "RFC 2920"))
    else:
        text = f"{name}: no PIPELINING, so each message takes more round trips"
        found.append(warning(text, "RFC 2920", "expect about half the speed, or ask the server's operator"))
    if features.dsn:
        found.append(passed(f"{name}: DSN, so that a bounce brings back the headers alone", "RFC 3461 §4.3"))
    else:
        text = f"{name}: no DSN, so a bounce may bring back the whole message with its sign-in link"
        found.append(warning(text, "RFC 3461 §4.3", "keep the mailbox that gets the bounces to yourself"))
    return found
