"""Check that the domain of From and of Reply-To can receive mail: `review_mx`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from campaign.compliance.finding import not_checked, passed, problem, warning
from campaign.compliance.online.lookup import NoAnswerError

if TYPE_CHECKING:
    from campaign.compliance.finding import Finding
    from campaign.compliance.online.lookup import Dns

_ASKED_BY = "RFC 5321 §5.1; Microsoft, requirements for high-volume senders"
#: Hosts of one domain whose address is looked up.
_MAX_HOSTS = 5


async def review_mx(dns: Dns, header: str, domain: str) -> list[Finding]:
    """Return whether replies to a header's address can be delivered.

    Args:
        dns: the resolver.
        header: `From` or `Reply-To`.
        domain: the domain of its address.
    """
    name = f"MX of {domain} ({header})"
    try:
        hosts = await dns.mx(domain)
        if "." in hosts:
            return [
                problem(
                    f"{name}: the null MX says that it accepts no mail, and receivers refuse mail from there",
                    "RFC 7505 §4.2",
                    "publish the MX of a mailbox provider, or take another address",
                )
            ]
        if not hosts:
            if await dns.has_address(domain):
                text = f"{name}: there is none, so replies go to the address of {domain} itself"
                return [warning(text, "RFC 5321 §5.1", "publish an MX record")]
            return [problem(f"{name}: there is none, so replies bounce", _ASKED_BY, "publish an MX record")]
        there = await asyncio.gather(*[dns.has_address(host) for host in hosts[:_MAX_HOSTS]])
    except NoAnswerError as error:
        return [not_checked(f"{name}: {error}", _ASKED_BY, "try again later, or name another --resolver")]
    if not any(there):
        text = f"{name}: {', '.join(hosts[:_MAX_HOSTS])} has no address, so replies bounce"
        return [problem(text, _ASKED_BY, "correct the MX record")]
    return [passed(f"{name}: {hosts[0]}" + (f" and {len(hosts) - 1} more" if len(hosts) > 1 else ""), _ASKED_BY)]
