"""Define `[schedule]` and `[recheck]` of a campaign file: when a mail goes out, and whether it still should."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, field_validator

from campaign.config.definition import names
from campaign.config.definition.section import Section
from campaign.config.definition.sections import Duration  # noqa: TC001 - pydantic reads it
from campaign.config.server_url import host_and_port, is_loopback
from campaign.schedule import Moment, find_zone
from campaign.schedule.window import Days, Hours, parse_days, parse_hours

#: Signs that a step's person has come back since the step before.
Sign = Literal["link used", "active"]
SIGNS: tuple[Sign, ...] = ("link used", "active")
_SIGNS_NEEDED = 'must be a list of "link used" and "active"; [] asks for neither'


def _moment(value: Any) -> Any:  # noqa: ANN401 - any value from the file
    if isinstance(value, date | datetime):  # TOML has times of its own, without quotes
        value = value.isoformat()
    if isinstance(value, Moment):
        return value
    if not isinstance(value, str):
        raise ValueError('must be a time in quotes, such as "abandoned_at + 1h"')  # noqa: TRY004 - pydantic takes it
    return Moment.parse(value)


def _hours(value: Any) -> Any:  # noqa: ANN401 - any value from the file
    if isinstance(value, tuple):
        return value
    if not isinstance(value, str):
        raise ValueError('must be hours in quotes, such as "09:00-20:00"')  # noqa: TRY004 - pydantic takes it
    return parse_hours(value)


def _days(value: Any) -> Any:  # noqa: ANN401 - any value from the file
    if isinstance(value, frozenset):
        return value
    if not isinstance(value, str):
        raise ValueError('must be days in quotes, such as "Mon-Sat"')  # noqa: TRY004 - pydantic takes it
    return parse_days(value)


def _signs(value: Any) -> Any:  # noqa: ANN401 - any value from the file
    if isinstance(value, tuple):
        return value
    if not isinstance(value, list) or not all(sign in SIGNS for sign in value):
        raise ValueError(_SIGNS_NEEDED)
    return tuple(sign for sign in SIGNS if sign in value)


MomentKey = Annotated[Moment, BeforeValidator(_moment)]


class ScheduleSection(Section):
    """`[schedule]`: when a mail is due, and the hours and days at which its recipient may be mailed."""

    #: When the mail is due; None: at once, and for a later step at once after the step before.
    due: MomentKey | None = None
    #: After which instant the mail is too late; None: never.
    until: MomentKey | None = None
    #: The hours of the recipient's day; None: all.
    hours: Annotated[Hours | None, BeforeValidator(_hours)] = None
    #: The days of the recipient's week, from 0 for Monday; None: all.
    days: Annotated[Days | None, BeforeValidator(_days)] = None
    #: The column with the recipient's IANA zone; None: all have the default.
    zone: str | None = None
    #: The IANA zone of recipients without one.
    default_zone: str | None = None

    @field_validator("zone")
    @classmethod
    def _is_variable(cls, zone: str | None) -> str | None:
        return None if zone is None else names.variable(zone, example="time_zone")

    @field_validator("default_zone")
    @classmethod
    def _is_zone(cls, zone: str | None) -> str | None:
        return None if zone is None else find_zone(zone.strip()).key


class RecheckSection(Section):
    """`[recheck]`: what is asked just before a mail goes out; CAMPAIGN_RECHECK_KEY signs the question."""

    #: The signs by which a person has come back since the step before; None: all that the campaign can see.
    unless: Annotated[tuple[Sign, ...] | None, BeforeValidator(_signs)] = None
    #: The endpoint of the site that says which keys are still to be mailed; None: none is asked.
    url: str | None = None
    #: How long to wait for its answer.
    timeout: Duration = timedelta(seconds=10)

    @field_validator("url")
    @classmethod
    def _is_endpoint(cls, url: str | None) -> str | None:
        return None if url is None else _endpoint(url)

    @field_validator("timeout")
    @classmethod
    def _is_a_wait(cls, timeout: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= timeout <= timedelta(minutes=1):
            raise ValueError('must be from "1s" to "60s"')
        return timeout


def _endpoint(url: str) -> str:
    example = 'write one like "https://shop.example/campaign/still-open"'
    if not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>{}#'):
        raise ValueError(f"must be an address without spaces, variables and #; {example}")
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.scheme not in {"https", "http"}:
        raise ValueError(f"must begin with https:// and a host, without a password; {example}")
    try:
        host, _ = host_and_port(parts)
    except ValueError as error:
        raise ValueError(f"must name a host ({error}); {example}") from None
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"would send the keys of your recipients unencrypted over http://; {example}")
    return url
