"""Define the section `[unsubscribe]` of a campaign file: how a recipient says no."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator, model_validator

from campaign.config.address import normalise_address
from campaign.config.definition import rules
from campaign.config.definition.sections import Section


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
        return None if url is None else rules.unsubscribe_url(url)

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
