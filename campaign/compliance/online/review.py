"""Check what only the network can tell: DNS, mail server, landing page, unsubscribe endpoint: `review_online`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.compliance.finding import not_checked
from campaign.compliance.online.dkim_record import review_dkim
from campaign.compliance.online.dmarc import review_dmarc
from campaign.compliance.online.landing_page import review_pages
from campaign.compliance.online.mail_exchange import review_mx
from campaign.compliance.online.one_click import review_one_click
from campaign.compliance.online.relay import review_relay
from campaign.compliance.online.spf import review_spf
from campaign.compliance.sender import domain_of, envelope_domain

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from campaign.compliance.finding import Finding
    from campaign.compliance.online.lookup import Dns
    from campaign.config.definition import Definition
    from campaign.config.settings import SmtpServer
    from campaign.message.dkim.key import SigningKey
    from campaign.smtp import Connector

#: What receivers check and this program cannot.
_HIDDEN = (
    not_checked(
        "PTR record of the addresses that the mail server sends from, and whether SPF lists them",
        "Google, Yahoo and Apple, sender guidelines",
        "ask its operator, or look at Authentication-Results of a test mail",
    ),
    not_checked(
        "Reputation of domain and addresses, and the rate of complaints, which must stay below 0.1 %",
        "Google and Yahoo, sender guidelines",
        "look at Google Postmaster Tools and at Yahoo Sender Hub",
    ),
)


@dataclass(frozen=True, slots=True)
class OnlineSubject:
    """What is checked online."""

    definition: Definition
    #: The mail server, and what opens a session with it; None if the campaign would run in the sandbox.
    relay: tuple[SmtpServer, Connector] | None
    #: The key that signs the mails; None if they are not signed here.
    key: SigningKey | None
    #: The size of the largest message in bytes.
    largest: int
    #: The links of one message.
    links: tuple[str, ...]


async def review_online(subject: OnlineSubject, dns: Dns) -> list[Finding]:
    """Return the findings in the order of a mail's way: sender's domain, mail server, landing page, unsubscribe link.

    The reviews run at the same time. They send no mail, request and use no sign-in token, and unsubscribe nobody.
    """
    definition = subject.definition
    variants = definition.variants
    senders = dict.fromkeys(domain_of(each.email.sender) for each in variants)
    replies = dict.fromkeys(domain_of(each.email.reply_to) for each in variants if each.email.reply_to is not None)
    signing = definition.dkim.domain if definition.dkim else None
    checks: list[Coroutine[Any, Any, list[Finding]]] = [
        *(review_spf(dns, envelope) for envelope in dict.fromkeys(map(envelope_domain, variants))),
        review_dkim(dns, definition.dkim, subject.key),
        *(
            review_dmarc(dns, sender, signing, envelope)
            for sender, envelope in dict.fromkeys(
                (domain_of(each.email.sender), envelope_domain(each)) for each in variants
            )
        ),
        *(review_mx(dns, "From", sender) for sender in senders),
        *(review_mx(dns, "Reply-To", reply) for reply in replies if reply not in senders),
    ]
    if subject.relay is not None:
        server, connector = subject.relay
        checks.append(review_relay(connector, server, subject.largest))
    if link := next((each.link for each in variants if each.link is not None), None):
        checks.append(review_pages(subject.links, link.parameter))
    if definition.unsubscribe is not None and definition.unsubscribe.url is not None:
        checks.append(review_one_click(definition.unsubscribe.url, definition.mailing_list))
    found = [finding for findings in await asyncio.gather(*checks) for finding in findings]
    if subject.relay is None:
        advice = "set CAMPAIGN_SMTP_URL"
        found.append(not_checked("Mail server: the campaign would run in the sandbox", "RFC 5321", advice))
    return [*found, *_HIDDEN]
