"""Define the section `[limits]` of a campaign file, the rates that services and recipients allow: `LimitsSection`."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotation
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from campaign.config.definition import rules
from campaign.config.definition.section import Section
from campaign.config.size import parse_size
from campaign.model import Rate

#: No large provider takes more.
_MAX_ATTACHMENTS = 100_000_000
_RATE_NEEDED = 'must be a rate such as "14/second", or a list of rates'


def _rates(value: Any) -> Any:  # noqa: ANN401 - any value from the file
    if isinstance(value, tuple):
        return value
    written = [value] if isinstance(value, str) else value
    if not isinstance(written, list) or not written or not all(isinstance(rate, str) for rate in written):
        raise ValueError(_RATE_NEEDED)
    return tuple(Rate.parse(rate) for rate in written)


def _rate(value: Any) -> Any:  # noqa: ANN401 - any value from the file
    if isinstance(value, Rate):
        return value
    if not isinstance(value, str):
        raise ValueError('must be a rate in quotes, such as "2/week"')  # noqa: TRY004 - pydantic takes ValueError
    return Rate.parse(value)


def _size(value: Any) -> Any:  # noqa: ANN401 - any value from the file
    return parse_size(value) if isinstance(value, str) else value


Rates = Annotated[tuple[Rate, ...], BeforeValidator(_rates)]
SingleRate = Annotated[Rate, BeforeValidator(_rate)]
#: Bytes.
Size = Annotated[int, BeforeValidator(_size)]


class LimitsSection(Section):
    """`[limits]`: the rates and connections that the services allow."""

    #: Rates of all messages; empty: no limit.
    messages: Rates = ()
    #: Rates of token calls; None: the limit that Clerk documents for the kind of key.
    tokens: Rates | None = None
    #: Simultaneous connections to the mail server.
    connections: int = 10
    #: Rates for single recipient domains; the keys are lower-case A-labels.
    domains: Mapping[str, Rates] = Field(default_factory=dict)
    #: How much a day is sent while an address warms up, by days on which mail was sent; the last one stays.
    ramp: Rates = ()
    #: How many mails one address gets, of all campaigns of the log; None: no limit.
    per_recipient: SingleRate | None = None
    #: Bytes of the attachments and inline images of one mail, encoded; Postfix's default for a whole mail is 10.24 MB.
    attachments: Size = 10_000_000

    @field_validator("attachments")
    @classmethod
    def _is_size(cls, size: int) -> int:
        if not 1 <= size <= _MAX_ATTACHMENTS:
            raise ValueError('must be from "1 B" to "100 MB"; most mail servers take 10 to 25 MB')
        return size

    @field_validator("connections")
    @classmethod
    def _is_count(cls, connections: int) -> int:
        if not 1 <= connections <= 1000:
            raise ValueError("must be from 1 to 1000")
        return connections

    @field_validator("domains", mode="before")
    @classmethod
    def _are_domains(cls, domains: Any) -> Any:  # noqa: ANN401 - any value from the file
        return rules.domain_rates(domains) if isinstance(domains, dict) else domains

    @field_validator("ramp", mode="after")
    @classmethod
    def _are_daily(cls, ramp: tuple[Rate, ...]) -> tuple[Rate, ...]:
        for rate in ramp:
            if rate.period != timedelta(days=1):
                raise ValueError(f'must be rates of one day, such as ["500/day", "1000/day"]; "{rate}" is none')
        return ramp
