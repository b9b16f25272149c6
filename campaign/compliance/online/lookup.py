"""Ask the DNS for the records of a domain: `Dns`. Only this module uses dnspython."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from campaign.errors import SettingsError
from campaign.words import printable

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver
    from dns.rdtypes.ANY.MX import MX
    from dns.rdtypes.ANY.TXT import TXT
    from dns.resolver import Answer, NoNameservers

#: For one question with its repetitions.
_TIMEOUT_S = 6.0
_PORT = 53


class NoAnswerError(Exception):
    """The DNS gave no answer, so that nothing is known about the records; the text is a clause that says why."""


class Dns:
    """Asks one resolver, by default that of the system.

    Args:
        resolver: the resolver's IP address, or `address:port`, `[address]:port`.
        timeout: seconds for one question with its repetitions.

    Raises:
        SettingsError: dnspython is not installed, the address is none, or the system has no resolver.
    """

    def __init__(self, resolver: str | None = None, *, timeout: float = _TIMEOUT_S) -> None:
        try:
            import dns.asyncresolver  # noqa: PLC0415 - an extra
            import dns.resolver  # noqa: PLC0415 - the same
        except ImportError:
            raise SettingsError("--online needs dnspython; type: pip install 'campaign[online]'") from None
        try:
            self._resolver: Resolver = dns.asyncresolver.Resolver(configure=resolver is None)
        except dns.resolver.NoResolverConfiguration:
            raise SettingsError(
                "this machine has no DNS resolver (/etc/resolv.conf); name one, such as --resolver 192.0.2.53"
            ) from None
        if resolver is not None:
            address, self._resolver.port = _address(resolver)
            self._resolver.nameservers = [address]
        self._resolver.lifetime = timeout

    async def txt(self, name: str) -> list[str]:
        """Return the texts of a name's TXT records, each with its strings joined (RFC 7208 §3.3, RFC 6376 §3.6.2.2).

        Raises:
            NoAnswerError: the DNS gave no answer.
        """
        records: list[TXT] = list(await self._ask(name, "TXT"))
        return [b"".join(record.strings).decode("utf-8", "replace") for record in records]

    async def mx(self, name: str) -> list[str]:
        """Return the hosts of a name's MX records, the most preferred first; the null MX (RFC 7505) is the host `.`.

        Raises:
            NoAnswerError: the DNS gave no answer.
        """
        records: list[MX] = list(await self._ask(name, "MX"))
        return [
            record.exchange.to_text(omit_final_dot=len(record.exchange) > 1)
            for record in sorted(records, key=lambda record: record.preference)
        ]

    async def has_address(self, name: str) -> bool:
        """Return whether a name has an A or AAAA record.

        Raises:
            NoAnswerError: the DNS gave no answer.
        """
        return bool(await self._ask(name, "A") or await self._ask(name, "AAAA"))

    async def _ask(self, name: str, kind: str) -> Answer | tuple[()]:
        """Return the records; empty if there are none, or no such name."""
        import dns.exception  # noqa: PLC0415 - an extra
        import dns.resolver  # noqa: PLC0415 - the same

        try:
            return await self._resolver.resolve(name, kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except dns.exception.Timeout:
            raise NoAnswerError(f"the DNS did not answer in time for {name}") from None
        except dns.resolver.NoNameservers as error:
            raise NoAnswerError(f"the DNS failed for {name}: {_codes(error)}") from None
        except (dns.exception.DNSException, OSError, UnicodeError) as error:
            raise NoAnswerError(f"the DNS cannot be asked for {printable(name)}: {printable(str(error))}") from None


def _codes(error: NoNameservers) -> str:
    """Return what the name servers answered, such as `SERVFAIL`, or why they could not be asked."""
    import dns.rcode  # noqa: PLC0415 - an extra

    found = set()
    for _, _, _, reason, response in error.kwargs["errors"]:
        found.add(dns.rcode.to_text(response.rcode()) if response is not None else str(reason))
    return printable(", ".join(sorted(found)))[:100] or "no usable answer"


def _address(text: str) -> tuple[str, int]:
    host, port = text, str(_PORT)
    if found := re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text):
        host, port = found[1], found[2] or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = str(ipaddress.ip_address(host))
        if not (port.isascii() and port.isdecimal() and 0 < int(port) < 2**16):
            raise ValueError
    except ValueError:
        raise SettingsError(
            f"--resolver: {printable(text)!r} is not an IP address, with or without a port; write 192.0.2.53, "
            "192.0.2.53:5353 or [2001:db8::53]:5353"
        ) from None
    return address, int(port)
