"""Define the sections of a campaign file: keys, defaults and limits. `rules.py` checks single values."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from campaign.config.definition import link_rules, names, rules
from campaign.config.definition.attachment_section import AttachmentSections  # noqa: TC001 - pydantic reads it
from campaign.config.definition.percentage import Percentage  # noqa: TC001 - pydantic reads it
from campaign.config.definition.section import Section
from campaign.config.definition.waitlist_keys import WaitlistKeys
from campaign.schedule.duration import parse_duration

#: Variables that the program provides to templates; neither a group nor a column may have these names.
RESERVED = frozenset({"cid", "link", "link_to", "self", "unsubscribe"})

#: More than any list has: a larger number is a slip of the keyboard.
_MAX_BATCH = 10_000_000


def _duration(value: Any) -> Any:  # noqa: ANN401 - any value from the file
    return parse_duration(value) if isinstance(value, str) else value


def _csv(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - any value from the file
    return rules.csv_path(info.context, value) if info.context and isinstance(value, str) else value


def _template(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - any value from the file
    return rules.template_path(info.context, value) if info.context and isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
#: Paths are relative to the folder that is the context of the validation.
CsvPath = Annotated[Path, BeforeValidator(_csv)]


def _verify_address(value: object) -> object:
    if isinstance(value, bool) or value == "any":
        return value
    raise ValueError('must be true, false or "any"')


TemplatePath = Annotated[Path, BeforeValidator(_template)]


class RecipientsSection(WaitlistKeys):
    """`[recipients]`: the CSV or Clerk's waitlist, and which of the rows are the same recipient."""

    #: The CSV; it need not exist yet. A run replaces `WAITLIST` by the file in which it wrote down the entries.
    file: CsvPath
    #: The column that identifies a recipient: each distinct value gets at most one email, in all runs together.
    key: str = "user_id"
    #: The template variable with all rows that share the key; None: each row is a recipient.
    group: str | None = None
    #: How to find Clerk's user ids if the CSV has none.
    lookup: Literal["email"] | None = None
    #: Whether to create a token only if the address belongs to the Clerk user and Clerk has verified it; with "any"
    #: it need not be verified.
    verify_address: Annotated[bool | Literal["any"], BeforeValidator(_verify_address)] = True
    #: A Jinja2 expression over a row's variables: only rows for which it is true are recipients. None: all rows are.
    where: str | None = None
    #: How many recipients that were never tried one run takes up; None: all.
    batch: int | None = None
    #: The column by which batches are filled, the smallest first; None: the order of the file.
    order: str | None = None
    #: The share of the recipients that is never mailed, in percent; None: all are mailed.
    holdout: Percentage | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_key(cls, data: Any) -> Any:  # noqa: ANN401 - any value from the file
        by_email = isinstance(data, dict) and data.get("lookup") == "email"
        return {"key": "email"} | data if by_email else data

    @field_validator("key")
    @classmethod
    def _is_key(cls, key: str) -> str:
        return names.header(key, example="user_id")

    @field_validator("order")
    @classmethod
    def _is_header(cls, order: str | None) -> str | None:
        return None if order is None else names.header(order, example="position")

    @field_validator("where")
    @classmethod
    def _is_expression(cls, where: str | None) -> str | None:
        if where is None:
            return None
        if not where.strip() or "{{" in where or "{%" in where:
            raise ValueError('must be an expression without {{ }}, such as "total | number > 20"')
        return where.strip()

    @field_validator("batch")
    @classmethod
    def _is_number(cls, batch: int | None) -> int | None:
        if batch is not None and not 1 <= batch <= _MAX_BATCH:
            raise ValueError(f"must be from 1 to {_MAX_BATCH:,}; without it a run takes all recipients")
        return batch

    @field_validator("group")
    @classmethod
    def _is_variable(cls, group: str | None) -> str | None:
        if group is not None and (not group.isidentifier() or group in RESERVED):
            raise ValueError('must be a name that a template can use, such as "items"')
        return group

    @field_validator("lookup")
    @classmethod
    def _has_a_key(cls, lookup: Literal["email"] | None, info: ValidationInfo) -> Literal["email"] | None:
        if lookup and info.data.get("key") == "user_id":
            raise ValueError('finds the user_id during the run, so user_id cannot be the key; write key = "email"')
        return lookup


class EmailSection(Section):
    """`[email]`: the sender and the templates."""

    #: One mailbox, `hello@acme.example` or `Acme <hello@acme.example>`, as `email.utils.parseaddr` reads it.
    sender: str = Field(alias="from")
    #: The mailbox for Reply-To; None: no such header.
    reply_to: str | None = None
    #: The mailbox for returned mail, to whose local part a tag is added; None: From's address, without tags.
    bounces: str | None = None
    #: The template of the subject, one line.
    subject: str
    #: The template of the HTML part.
    html: TemplatePath
    #: The template of the text part; None: the text part is made from the HTML.
    text: TemplatePath | None = None
    #: The files that go with each mail.
    attachments: AttachmentSections = ()

    @field_validator("sender", "reply_to")
    @classmethod
    def _is_mailbox(cls, text: str | None) -> str | None:
        return None if text is None else rules.mailbox(text)

    @field_validator("bounces")
    @classmethod
    def _is_bounce_mailbox(cls, text: str | None) -> str | None:
        return None if text is None else rules.bounce_mailbox(text)

    @field_validator("subject")
    @classmethod
    def _is_one_line(cls, subject: str) -> str:
        if not subject.strip() or not subject.isprintable():
            raise ValueError("must be one line of text, and not empty")
        return subject


class LinkSection(Section):
    """`[link]`: the sign-in link."""

    #: The page that receives the token; its path and query may contain template variables.
    url: str
    #: Whether links also carry the recipient's masked address, which the page shows before the click.
    hint: bool = Field(default=True, validate_default=True)
    #: Whether links also carry a tag, by which the page behind an expired link asks `campaign serve` for a new one.
    renew: bool = False
    #: The query parameter that carries the token; with `#` before it, it stands in the fragment.
    parameter: str = "token"
    #: The lifetime of a token, in whole seconds.
    expires_in: Duration
    #: Hosts (`name` or `name:port`) that `link_to` may lead to; by default the host of `url`.
    hosts: tuple[str, ...] = ()
    #: The column with the id of the organization that the token opens; None: tokens open none.
    org_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_hosts(cls, data: Any) -> Any:  # noqa: ANN401 - any value from the file
        if not isinstance(data, dict) or "hosts" in data or not isinstance(data.get("url"), str):
            return data
        try:
            return data | {"hosts": (link_rules.link_host(data["url"]),)}
        except ValueError:
            # `_is_url` raises this error for the key `url`.
            return data

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        link_rules.link_host(url)
        link_rules.refuse_next(url)
        return url

    @field_validator("hint")
    @classmethod
    def _has_a_place(cls, hint: bool, info: ValidationInfo) -> bool:
        return link_rules.link_hint(hint=hint, url=info.data.get("url"))

    @field_validator("renew")
    @classmethod
    def _has_room(cls, renew: bool, info: ValidationInfo) -> bool:
        return link_rules.link_renew(renew=renew, url=info.data.get("url"))

    @field_validator("parameter")
    @classmethod
    def _is_free(cls, parameter: str, info: ValidationInfo) -> str:
        has = {key: info.data.get(key, False) for key in ("hint", "renew")}
        return link_rules.link_parameter(parameter, info.data.get("url"), **has)

    @field_validator("expires_in")
    @classmethod
    def _is_lifetime(cls, value: timedelta) -> timedelta:
        if not timedelta(minutes=1) <= value <= timedelta(days=365) or value.microseconds:
            raise ValueError('must be from "60s" to "365d" in whole seconds; "48h" is two days')
        return value

    @field_validator("hosts", mode="before")
    @classmethod
    def _are_hosts(cls, hosts: Any) -> Any:  # noqa: ANN401 - any value from the file
        if not isinstance(hosts, list | tuple) or not hosts or not all(isinstance(host, str) for host in hosts):
            raise ValueError('must be a list of host names, such as ["acme.example", "shop.acme.example"]')
        return tuple(rules.host(host) for host in hosts)

    @field_validator("org_id")
    @classmethod
    def _is_column(cls, column: str | None) -> str | None:
        if column is not None and (not column.strip() or not column.isprintable()):
            raise ValueError('must be the name of a column, such as "org_id"')
        return column and column.strip()


class DkimSection(Section):
    """`[dkim]`: sign the mails (RFC 6376); the setting CAMPAIGN_DKIM_KEY names the private key."""

    #: The public key is published at `<selector>._domainkey.<domain>`.
    selector: str
    #: The signing domain in lower-case A-labels; by default the domain of `email.from`.
    domain: str = ""

    @field_validator("selector")
    @classmethod
    def _is_selector(cls, selector: str) -> str:
        return rules.selector(selector)

    @field_validator("domain")
    @classmethod
    def _is_domain(cls, domain: str) -> str:
        return rules.signing_domain(domain)


class RetrySection(Section):
    """`[retry]`: the number of attempts and the delay before the next one."""

    #: Attempts per recipient, including the first one.
    attempts: int = 5
    #: The delay after the first temporary error; it doubles after each further one, up to an hour.
    first_delay: Duration = timedelta(seconds=30)

    @field_validator("attempts")
    @classmethod
    def _is_count(cls, attempts: int) -> int:
        if not 1 <= attempts <= 100:
            raise ValueError("must be from 1 to 100")
        return attempts

    @field_validator("first_delay")
    @classmethod
    def _is_delay(cls, delay: timedelta) -> timedelta:
        if not timedelta(0) < delay <= timedelta(hours=1):
            raise ValueError('must be more than 0 and at most "1h"')
        return delay
