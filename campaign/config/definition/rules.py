"""Check single values of a campaign file. An error text continues a sentence that begins with the key."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from campaign.config.address import normalise_address, normalise_domain
from campaign.config.server_url import host_and_port

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A dot-atom (RFC 5322 §3.2.3) with a small character set: it becomes part of the List-Id (RFC 2919 §2).
_NAME = re.compile(r"(?=.{1,100}\Z)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_MAILBOX = re.compile(r'(?:(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<bare>[^"<>@,;:\\]*?))\s*<(?P<address>[^<>]*)>')
_NEEDS_QUOTES = re.compile(r'[()<>\[\]:;@\\,."]')
#: RFC 6376 §3.1: sub-domains of RFC 5321 §4.1.2, each of at most 63 bytes (RFC 1035 §2.3.4).
_SELECTOR = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
#: RFC 1035 §2.3.4, without the final dot.
_MAX_NAME_LENGTH = 253
#: 64 bytes of a local part, without `+` and the 28 letters of a tag.
_MAX_BOUNCE_MAILBOX = 35


def campaign_name(name: str) -> str:
    """Return the name of a campaign, which becomes part of headers and keys.

    Raises:
        ValueError: the name is longer than 100 characters, or has other characters than ASCII letters, digits, `-`, `_`
            and single dots between them.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            'must be 1 to 100 ASCII letters, digits, - or _, or single dots between them, such as "waitlist-welcome"'
        )
    return name


def mailbox(text: str) -> str:
    """Return a mailbox as `address` or `Name <address>`, quoted if RFC 5322 §3.4 requires it.

    Raises:
        ValueError: the text is not exactly one mailbox.
    """
    text = text.strip()
    if not text.isprintable():
        raise ValueError("contains a control character; remove it")
    if "{{" in text or "{%" in text:
        raise ValueError("cannot contain template variables; it is the same for every recipient")
    found = _MAILBOX.fullmatch(text)
    try:
        address = normalise_address(found["address"] if found else text)
    except ValueError as error:
        raise ValueError(
            f'must be one address, such as "hello@acme.example" or "Acme <hello@acme.example>";'
            f" put a name with a comma in its own quotes. {error}"
        ) from None
    if found is None:
        return address
    quoted: str | None = found["quoted"]
    name = re.sub(r"\\(.)", r"\1", quoted[1:-1]) if quoted else found["bare"].strip()
    if not name:
        return address
    if _NEEDS_QUOTES.search(name):
        escaped = re.sub(r'([\\"])', r"\\\1", name)
        return f'"{escaped}" <{address}>'
    return f"{name} <{address}>"


def csv_path(folder: Path, written: str) -> Path:
    """Return the path of the CSV that a campaign file in `folder` names; it is relative if it is below the cwd.

    Raises:
        ValueError: the text is not a path.
    """
    _require_path(written)
    found = (folder / written).resolve()
    here = Path.cwd().resolve()
    return found.relative_to(here) if found.is_relative_to(here) else found


def template_path(folder: Path, written: str) -> Path:
    """Return the path of a template; it must exist, in the campaign file's folder or below.

    Raises:
        ValueError: the template does not exist, or is outside that folder.
    """
    _require_path(written)
    found = Path(os.path.normpath(folder / written))
    # Check the path, not a symbolic link's target: a template may be a link to a file that several campaigns share.
    if not Path(os.path.abspath(found)).is_relative_to(os.path.abspath(folder)):  # noqa: PTH100 - resolves no links
        raise ValueError(f"must be in the campaign file's folder, but {found} is not; move it there")
    if not found.is_file():
        raise ValueError(f"the template {found} does not exist; create it, or correct the name")
    return found


def bounce_mailbox(text: str) -> str:
    """Return the address of the mailbox for returned mail.

    Raises:
        ValueError: it is not one plain address, or has no room for a tag (RFC 5321 §4.5.3.1.1: 64 bytes before the @).
    """
    try:
        address = normalise_address(text.strip())
    except ValueError as error:
        raise ValueError(f'must be one address, such as "bounces@acme.example". {error}') from None
    if len(address.rpartition("@")[0]) > _MAX_BOUNCE_MAILBOX:
        raise ValueError(f"must have at most {_MAX_BOUNCE_MAILBOX} letters before the @; a tag is added to them")
    return address


def host(text: str) -> str:
    """Return a host, with its port if it has one, in lower-case A-labels.

    Raises:
        ValueError: the text is not a host; a URL or a pattern is not accepted.
    """
    name, colon, port = text.rpartition(":") if re.search(r":\d*$", text) else (text, "", "")
    try:
        if not text.isprintable() or set(text) & set("/?#@\\"):
            raise ValueError
        if not name.isascii():
            name = normalise_domain(name)
        plain, number = host_and_port(urlsplit(f"//{name}{colon}{port}"))
    except ValueError:
        raise ValueError(
            f'{text!r} is not a host; write only its name, such as "acme.example" or "acme.example:8443"'
        ) from None
    bracketed = f"[{plain}]" if ":" in plain else plain
    return bracketed if number is None else f"{bracketed}:{number}"


def selector(text: str) -> str:
    """Return a DKIM selector.

    Raises:
        ValueError: the text is not a valid selector.
    """
    if not _SELECTOR.fullmatch(text):
        raise ValueError('must be letters, digits and hyphens, or single dots between them, such as "s1"')
    return text


def signing_domain(text: str) -> str:
    """Return the signing domain in lower-case A-labels.

    Raises:
        ValueError: the text is not a domain of at least two labels (RFC 6376 §3.5, `d=`).
    """
    try:
        domain = normalise_domain(text)
        if "." not in domain:
            raise ValueError
    except ValueError:
        raise ValueError(f'{text!r} is not a domain; write one like "acme.example"') from None
    return domain


def aligned(domain: str, sender: str, *, selector: str) -> str:
    """Return the domain that signs a sender's mail; if `domain` is empty, it is the sender's own domain.

    DMARC's relaxed alignment (RFC 9989 §4.4.1) asks for the same organisation. Without the DNS that is certain only if
    one of the two domains is at or below the other.

    Raises:
        ValueError: the domain is not aligned with the sender's (DMARC), or the key's name is too long for the DNS.
    """
    own = sender.rpartition("@")[2].rstrip(">")
    domain = domain or signing_domain(own)
    if not (f".{own}".endswith(f".{domain}") or f".{domain}".endswith(f".{own}")):
        raise ValueError(
            "must be the domain of [email] from, a parent or a subdomain of it: DMARC does not count a signature by"
            f' {domain} for this sender; write domain = "{own}", or leave it out'
        )
    if len(f"{selector}._domainkey.{domain}") > _MAX_NAME_LENGTH:
        raise ValueError(f"{selector}._domainkey.{domain} is too long for a DNS name; choose a shorter selector")
    return domain


def domain_rates(written: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rates by domain; the domains are lower-case A-labels.

    Raises:
        ValueError: a name is not a domain, occurs twice, or lacks quotes, so that TOML split it at its dots.
    """
    rates: dict[str, Any] = {}
    for name, rate in written.items():
        if isinstance(rate, dict):
            raise ValueError(  # noqa: TRY004 - pydantic takes ValueError
                f'put the domain in quotes, such as "{name}.{next(iter(rate), "com")}" = "5/second"'
            )
        try:
            domain = normalise_domain(name)
        except ValueError:
            raise ValueError(f'"{name}" is not a domain; write one like "gmail.com"') from None
        if domain in rates:
            raise ValueError(f'"{name}" occurs twice; write it once, with a list of rates')
        rates[domain] = rate
    return rates


def _require_path(written: str) -> None:
    if not written.strip() or not written.isprintable():
        raise ValueError("must be the path of a file")
