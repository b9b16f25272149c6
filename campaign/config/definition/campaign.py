"""The campaign as the program uses it: `Definition`, and its variant for each step and locale."""

from __future__ import annotations

import os
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotation
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, PrivateAttr, field_validator

from campaign.config.definition import rules
from campaign.config.definition.limits_section import LimitsSection
from campaign.config.definition.names import plain_locale
from campaign.config.definition.schedule_section import SIGNS, RecheckSection, Sign
from campaign.config.definition.section import Section
from campaign.config.definition.sections import (
    DkimSection,
    EmailSection,
    LinkSection,
    RecipientsSection,
    RetrySection,
)
from campaign.config.definition.unsubscribe import RENEWAL_PATH, UnsubscribeSection
from campaign.schedule import Schedule

if TYPE_CHECKING:
    from campaign.config.definition.faults import Location


class CampaignSections(Section):
    """The keys and sections of a campaign file that are the same for all steps and locales."""

    #: The campaign's identity in the send log and in List-Id.
    name: str
    recipients: RecipientsSection
    limits: LimitsSection = LimitsSection()
    retry: RetrySection = RetrySection()
    #: None: the mails are not signed.
    dkim: DkimSection | None = None
    #: None: the mails have no way out, which `check` and `run` say.
    unsubscribe: UnsubscribeSection | None = None

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        return rules.campaign_name(name)


@dataclass(frozen=True, slots=True)
class Variant:
    """What one step and locale have of their own."""

    email: EmailSection
    link: LinkSection | None
    schedule: Schedule
    recheck: RecheckSection | None


class _Variants:
    """All variants of a campaign, and the definitions that were made of them: a run asks for one at each delivery."""

    def __init__(self, variants: Mapping[tuple[str, str], Variant]) -> None:
        self.variants = variants
        self.made: dict[tuple[str, str], Definition] = {}


class Definition(CampaignSections):
    """A campaign, as its file defines it, and as one step and one locale see it.

    The campaign that `load_definition` returns is its first step in the default locale; `variant` returns the others.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    #: The campaign file's path, as the operator wrote it.
    path: Path
    email: EmailSection
    #: None: the run creates no tokens.
    link: LinkSection | None = None
    #: When the step is due, and the hours and days at which it may go out.
    schedule: Schedule = Schedule()
    #: What is asked just before a mail goes out; None: nothing but whether the step's person came back (`unless`).
    recheck: RecheckSection | None = None
    #: The step that this variant is of; empty in a campaign without `[[steps]]`.
    step: str = ""
    #: The locale that this variant is of; empty in a campaign without `[locales]`.
    locale: str = ""
    #: All steps in their order; one without a name in a campaign without `[[steps]]`.
    step_names: tuple[str, ...] = ("",)
    #: All locales, the default first; one without a name in a campaign without `[locales]`.
    locale_names: tuple[str, ...] = ("",)
    #: The column with a row's locale; empty in a campaign without `[locales]`.
    locale_column: str = ""

    _all: _Variants = PrivateAttr(default_factory=lambda: _Variants({}))
    _columns: Mapping[str, Location] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(
        cls,
        variants: Mapping[tuple[str, str], Variant],
        columns: Mapping[str, Location],
        /,
        **keys: Any,  # noqa: ANN401 - its fields, which pydantic checks
    ) -> Definition:
        """Return the definition of the first step in the default locale, which knows its other variants."""
        (step, locale), first = next(iter(variants.items()))
        definition = cls(**keys, step=step, locale=locale, **_fields(first))
        definition._all = _Variants(variants)
        definition._all.made[step, locale] = definition
        definition._columns = columns
        return definition

    @property
    def folder(self) -> Path:
        """The folder of the templates."""
        return self.path.parent

    @property
    def mailing_list(self) -> str:
        """What a recipient unsubscribes from: the campaign's list, by default the campaign itself."""
        return (self.unsubscribe and self.unsubscribe.list) or self.name

    @property
    def renews(self) -> bool:
        """Whether the reader of some mail can ask for a new link."""
        return any(variant.link and variant.link.renew for variant in self.variants)

    @property
    def renewal_url(self) -> str | None:
        """Where readers ask `campaign serve` for a new link; None if the file does not say where it is reached."""
        section = self.unsubscribe
        return None if section is None or section.url is None else f"{section.url}/{RENEWAL_PATH}"

    @property
    def step_number(self) -> int:
        """The number of this variant's step, from 0."""
        return self.step_names.index(self.step)

    @property
    def unless(self) -> tuple[Sign, ...]:
        """The signs of a person who came back since the step before: they end the sequence. None for a first step."""
        if self.step_number == 0:
            return ()
        if self.recheck is not None and self.recheck.unless is not None:
            return self.recheck.unless
        return SIGNS if self.link is not None else ()

    @property
    def columns(self) -> Mapping[str, Location]:
        """The columns that steps, schedule and locales need, each with the place in the file that names it first."""
        return self._columns

    @property
    def variants(self) -> list[Definition]:
        """The campaign as each step and each locale see it, in the order of the file."""
        return [self.variant(step, locale) for step in self.step_names for locale in self.locale_names]

    def variant(self, step: str = "", locale: str = "") -> Definition:
        """Return the campaign as a step and a locale see it; without a name, the first step or the default locale.

        Raises:
            KeyError: the campaign file has no such step or locale.
        """
        key = (step or self.step_names[0], locale or self.locale_names[0])
        if key == (self.step, self.locale):
            return self
        made = self._all.made
        if key not in made:
            variant = self._all.variants[key]
            made[key] = self.model_copy(update={"step": key[0], "locale": key[1], **_fields(variant)})
        return made[key]

    def reading(self, file: Path) -> Definition:
        """Return the campaign with another CSV, for all its variants."""
        recipients = self.recipients.model_copy(update={"file": file})
        definition = self.model_copy(update={"recipients": recipients})
        made = _Variants(self._all.variants)
        made.made[self.step, self.locale] = definition
        definition._all = made  # noqa: SLF001 - one of this class
        return definition

    def locale_of(self, variables: Mapping[str, Any]) -> str:
        """Return the locale of a row: the nearest to its cell, `de` for `de-AT` (RFC 4647 §3.4), else the default."""
        known = {plain_locale(name): name for name in self.locale_names}
        wanted = plain_locale(str(variables.get(self.locale_column) or ""))
        while wanted and wanted not in known:
            wanted = wanted.rpartition("-")[0]
        return known.get(wanted, self.locale_names[0])

    def template_name(self, template: Path) -> str:
        """Return a template's path relative to `folder`, such as `parts/foot.html`."""
        return Path(os.path.relpath(template, self.folder)).as_posix()


def _fields(variant: Variant) -> dict[str, Any]:
    return {
        "email": variant.email,
        "link": variant.link,
        "schedule": variant.schedule,
        "recheck": variant.recheck,
    }
