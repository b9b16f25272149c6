"""Define the section `[unsubscribe]` of a campaign file: how a recipient says no."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from campaign.config.address import normalise_address
from campaign.config.definition import rules
from campaign.config.definition.section import Section
from campaign.config.server_url import host_and_port, is_loopback

#: What is added to the URL of `campaign serve` to ask for a new link: no unsubscribe token has so few letters.
RENEWAL_PATH = "renew"
#: The header with the address, a token and a mailbox must fit on one line of 998 bytes (RFC 5322 §2.1.1).
_MAX_URL_LENGTH = 400


class UnsubscribeSection(Section):
    """`[unsubscribe]`: the link by which a recipient says no, or why there is none."""

    #: The address that `campaign serve` answers; `/TOKEN` is added. None: the mails have neither headers nor link.
    url: str | None = None
    #: Why the mails have no way out, such as "transactional".
    none: str | None = None
    #: What a recipient says no to, and the List-Id; None: the campaign's name.
    list: str | None = None
    #: A mailbox that takes a no, too.
    mailto: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_one_way(cls, data: Any) -> Any:  # noqa: ANN401 - any value from the file
        if isinstance(data, dict) and ("url" in data) == ("none" in data):
            raise ValueError(
                'needs either url = "https://mail.acme.example/u", which `campaign serve` answers, or '
                'none = "transactional"'
            )
        return data

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        return None if url is None else _endpoint(url)

    @field_validator("none")
    @classmethod
    def _is_reason(cls, reason: str | None) -> str | None:
        if reason is not None and not (reason.strip() and reason.isprintable()):
            raise ValueError('must say why, such as "transactional"')
        return reason

    @field_validator("list")
    @classmethod
    def _is_list(cls, name: str | None) -> str | None:
        return None if name is None else rules.campaign_name(name)

    @field_validator("mailto")
    @classmethod
    def _is_address(cls, address: str | None) -> str | None:
        try:
            return None if address is None else normalise_address(address)
        except ValueError as error:
            raise ValueError(f'must be one address, such as "leave@acme.example". {error}') from None


def _endpoint(url: str) -> str:
    """Return the address of an unsubscribe endpoint, without a slash at its end.

    Raises:
        ValueError: it is not https:// (http:// only at loopback), or has a query, a fragment or a template variable.
    """
    example = 'write one like "https://mail.acme.example/u"'
    if not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>{}?#,') or len(url) > _MAX_URL_LENGTH:
        raise ValueError(
            f"must be an address of at most {_MAX_URL_LENGTH} letters without spaces, variables, ? and #; {example}"
        )
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.scheme not in {"https", "http"}:
        raise ValueError(f"must begin with https:// and a host; {example}")
    try:
        host, _ = host_and_port(parts)
    except ValueError as error:
        raise ValueError(f"must name a host ({error}); {example}") from None
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"must begin with https://, which one click needs (RFC 8058 §3.1); {example}")
    return url.rstrip("/")
